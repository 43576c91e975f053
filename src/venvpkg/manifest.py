"""The environment's own description, ``<prefix>/venvpkg.json``."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import venvpkg
from venvpkg.debhelper import State
from venvpkg.depends import Needs
from venvpkg.distributions import Distribution
from venvpkg.plan import Plan, requirement_files
from venvpkg.shlibs import External
from venvpkg.smoke import Smoke

NAME = "venvpkg.json"


def write_manifest(
    plan: Plan,
    state: State,
    distributions: Sequence[Distribution],
    needs: Needs,
    smoke: Smoke,
    codename: str,
    *,
    layer: str = "",
) -> None:
    """Write what was built, from what; neither time nor place is in it. docs/manifest.md has the schema.

    Args:
        plan: where it was built.
        state: what dh_venvpkg handed on.
        distributions: those of the whole environment.
        needs: what it needs of the system.
        smoke: what came of running it.
        codename: VERSION_CODENAME of the build system (os-release(5)), or empty.
        layer: what the package under this one provides; empty where all is in one package.
    """
    content: Mapping[str, object] = {
        "schema": 1,
        "venvpkg": venvpkg.__version__,
        "package": plan.spec.package,
        "layer": layer,
        "prefix": str(plan.prefix),
        "built_on": codename,
        "interpreter": {
            "path": str(plan.program),
            "version": plan.interpreter.version,
            "package": plan.interpreter.package,
            "mode": plan.spec.interpreter,
        },
        "installer": state.installer,
        "project": state.project,
        "requirements": [
            {
                "file": str(f.relative_to(plan.spec.source))
                if f.is_relative_to(plan.spec.source)
                else f.name,
                "sha256": hashlib.sha256(f.read_bytes()).hexdigest(),
            }
            for f in requirement_files(plan.spec)
        ],
        "distributions": [
            {"name": d.name, "version": d.version, "built_here": d.built_here or d.name == state.project}
            for d in distributions
        ],
        "libraries": sorted({link.soname for link in needs.links if isinstance(link, External)}),
        "depends": needs.describe(),
        "imported": sorted(smoke.imported),
        "smoke": list(plan.spec.smoke),
        "bytecode": plan.spec.bytecode,
        "hermetic": plan.spec.hermetic,
        "prune": list(plan.spec.prune),
        "accepted": [asdict(record) for record in plan.spec.accept],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    path = plan.stage / NAME
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
