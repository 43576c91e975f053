"""Draw the steps of each tool side by side: `python -m benchmarks.plot REPORT.json PLOT.png`."""

import json
import sys
from pathlib import Path

from benchmarks.figures import GROUPS, group_steps, name_rounds

COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee8866", "#aa3377", "#bbbbbb", "#333344")


def draw(report: dict, picture: Path) -> None:
    """Draw one bar a tool, with a part for each kind of work."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tools = list(report["steps"])
    figure, axes = pyplot.subplots(figsize=(9, 0.45 * len(tools) + 1.6), layout="constrained")
    left = [0.0] * len(tools)
    parts = [group_steps(report["steps"][tool]) for tool in tools]
    for group, colour in zip(GROUPS, COLOURS, strict=True):
        widths = [each[group] for each in parts]
        if any(widths):
            axes.barh(tools, widths, left=left, color=colour, label=group)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for row, seconds in enumerate(left):
        axes.annotate(
            f"{seconds:.0f} s", (seconds, row), xytext=(4, 0), textcoords="offset points", va="center"
        )
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set_xlabel(f"seconds, warm caches, {name_rounds(report['rounds'])}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=4, frameon=False, fontsize="small")
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
