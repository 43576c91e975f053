"""Draw the night sky over a place on Earth."""
