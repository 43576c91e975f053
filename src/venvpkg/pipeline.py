"""The order: three functions, one for each command that debhelper calls."""

import json
import shlex
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from venvpkg.addon import OUTPUT
from venvpkg.builddeps import require_build_depends
from venvpkg.bundle import COMMON, unstripped
from venvpkg.bytecode import compile_tree
from venvpkg.cache import Cache
from venvpkg.configuration import (
    find_unread,
    make_specs,
    read_configuration,
    read_options,
    read_variables,
)
from venvpkg.contents import Search, read_environment
from venvpkg.control import Package, read_control
from venvpkg.credentials import known_secrets
from venvpkg.debhelper import (
    Answer,
    Call,
    State,
    changed_since_build,
    read_weaker,
    refuse_cross_build,
    write_relations,
)
from venvpkg.depends import Needs, Survey, compute, survey
from venvpkg.digests import Digests, Memory
from venvpkg.distributions import Distribution, read_distributions
from venvpkg.evidence import Evidence, find_clashes, gather
from venvpkg.expose import explain_to_lintian, expose, exposed_names
from venvpkg.indexes import require_no_credentials
from venvpkg.installers import find_installer, warn_of_mixed_indexes
from venvpkg.layers import (
    RECORD,
    Published,
    Record,
    describe_lower,
    divide,
    join,
    keep_version,
    name_layer,
    part,
    place_of,
    read_fields,
    require_bound,
    require_declared,
    unite,
    unite_fields,
)
from venvpkg.lockfiles import export_locks
from venvpkg.log import counted, note, step, warn
from venvpkg.maintscripts import EARLY, LATE, render
from venvpkg.manifest import write_manifest
from venvpkg.plan import STATE, Plan, choose_interpreter, make_plan
from venvpkg.process import Runner
from venvpkg.proof import prove
from venvpkg.pruning import Pruning, describe, explain, leave_out, set_aside
from venvpkg.relocate import neutralise_bills, reconcile_records, relocate
from venvpkg.report import Report
from venvpkg.sbom import Environment, Subject, make_sbom, write_sbom
from venvpkg.shlibs import Scan, read_elves
from venvpkg.smoke import Smoke, plan_trial, require_passed, run_smoke
from venvpkg.spec import Spec
from venvpkg.stage import (
    Populated,
    apply,
    bring_back,
    free_pip,
    level_times,
    normalise_modes,
    populate,
    put_in_place,
)
from venvpkg.system import System, host_architecture, read_owners
from venvpkg.toolchain import parallel_jobs
from venvpkg.tree import Tree
from venvpkg.verify import GATE, verify
from venvpkg.virtualenv import translate
from venvpkg.weight import describe_symbols, link_duplicates
from venvpkg.wheelhouse import find_wheelhouse, require_fresh, require_unchanged, take_from

# The hashes of the files, from one step to the next.
DIGESTS = "digests"
# What came of the checks, for whoever hands the package on.
VERIFIED = "verified.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the steps need of the world."""

    source: Path
    """The Debian source package's folder, absolute."""
    run: Runner
    environ: Mapping[str, str]
    codename: str
    """VERSION_CODENAME of the build system (os-release(5)), or empty."""
    cache: Cache
    """What earlier builds computed."""


def build(call: Call, world: World) -> Answer:
    """Make the environments of the called packages: dh_venvpkg."""
    answer = Answer()
    refuse_cross_build(call)
    if not call.former:
        # Those of an unchanged dh_virtualenv have been shown to ps(1) before this was called.
        require_no_credentials(word for words in call.options.values() for word in words)
    specs = read_specs(call, world)
    packages = read_control(world.source / "debian" / "control").packages
    for package in call.packages:
        # What an earlier run handed on must not outlive a failure of this one, nor a table that is gone.
        shutil.rmtree(world.source / STATE / package, ignore_errors=True)
    wheelhouse = find_wheelhouse(world.source)
    if wheelhouse:
        require_unchanged(wheelhouse)
    for spec in specs:
        require_build_depends(spec, world.run, world.environ)
        require_declared(spec, packages)
        plan, populated = install(spec, call.roots[spec.package], wheelhouse, world)
        with step(f"{plan.prefix}: relocated") as details:
            edits = relocate(Tree.from_dir(plan.workshop), plan.made, plan.move, hermetic=spec.hermetic)
            details.append(counted(apply(edits, plan.workshop), "edit"))
            leave_out(plan.spec, plan.workshop)
        tree = Tree.from_dir(plan.workshop)
        distributions = read_distributions(tree)
        if apply(neutralise_bills(tree, distributions), plan.workshop):
            tree = Tree.from_dir(plan.workshop)
        clashes = find_clashes(tree, distributions)
        built = [path for d in distributions if d.built_here for path in read_elves(tree.only(d.files))]
        built += unstripped(tree) if plan.bundled else []
        expose(plan, tree, distributions, populated.project)
        put_in_place(plan, tree)
        stripped = built if spec.strip == "built" else ()
        State.of(plan, populated, stripped, clashes, call).save(plan, tree)
        if spec.seed:
            free_pip(plan, distributions)
        if not call.scripts:
            continue
        # postinst's part stands before that of dh_installsystemd, which starts services.
        add_scripts(answer, plan, world.codename, EARLY)
        # One that is bundled goes with the package, and no release of Debian takes it away.
        for path in () if plan.bundled else (str(plan.interpreter.path), "/usr/lib/os-release"):
            answer.add_trigger(spec.env_package, path)
        if spec.layers:
            # The package under the project may be unpacked without it, and services run from both.
            answer.add_trigger(spec.package, str(plan.prefix / "pyvenv.cfg"))
    return answer


def install(spec: Spec, package_root: Path, wheelhouse: Path | None, world: World) -> tuple[Plan, Populated]:
    """Choose Python and installer, and make the environment in the plan's workshop."""
    interpreter = choose_interpreter(spec, world.run, world.environ)
    if wheelhouse:
        require_fresh(spec, wheelhouse, interpreter.minor, host_architecture(world.run))
        spec = take_from(spec, wheelhouse)
    installer = find_installer(spec, world.run, world.environ)
    export_locks(spec, interpreter, installer, world.run, world.environ)
    plan = make_plan(spec, interpreter, package_root)
    warn_of_mixed_indexes(plan, installer, world.environ)
    with step(f"{plan.prefix}: installed with {installer.title} for Python {interpreter.version}"):
        return plan, populate(plan, installer, world.run, world.environ)


def settle(call: Call, world: World) -> Answer:
    """Bring the environments back, take what is there, and compute what they need: dh_venvpkg_settle."""
    answer = Answer()
    packages = {p.name: p for p in read_control(world.source / "debian" / "control").packages}
    for plan, state in staged(call, world):
        memory = Memory(cache=world.cache)
        prepare(plan, state, memory, world)
        tree, distributions, found, smoke = try_out(plan, state, memory, world)
        with step(f"{plan.prefix}: depends") as details:
            scan = Scan(run=world.run, jobs=parallel_jobs(world.environ), memory=memory)
            needs = compute(plan, tree, found, distributions, smoke, state.project, scan)
            if state.former:
                needs = needs.weaken(read_weaker(world.source, plan.spec.package))
            details += needs.describe()
        if heavy := describe_symbols(found.symbols, distributions):
            note(heavy)
        for text in [*needs.notes, *write_relations(answer, packages[plan.spec.env_package], needs)]:
            note(text)
        link_duplicates(tree, plan.stage, memory.digests)
        subject = read_subject(packages[plan.spec.package], world)
        layer = ""
        if needs.above:
            part(plan, divide(tree, distributions, state.project))
            explain_to_lintian(plan, plan.env_root, (), machine_code=bool(found.elves))
            layer, lower = finish_lower(answer, plan, needs, subject, world)
            level_times(plan.env_root, world.environ)
            write_bill(lower, plan.env_root, inventory(plan, state, needs, Tree.from_dir(plan.env_stage)))
            tree = Tree.from_dir(plan.stage)
            for text in write_relations(answer, packages[subject.name], needs.above):
                note(text)
        if state.scripts:
            add_scripts(answer, plan, world.codename, LATE)
        exposed = exposed_names(plan, distributions, state.project)
        explain_to_lintian(plan, plan.package_root, exposed, machine_code=bool(found.elves))
        write_manifest(plan, state, distributions, needs, smoke, world.codename, layer=layer)
        write_bill(subject, plan.package_root, inventory(plan, state, needs, tree))
        level_times(plan.package_root, world.environ)
        memory.digests.save(plan.state / DIGESTS)
    world.cache.trim()
    return answer


def prepare(plan: Plan, state: State, memory: Memory, world: World) -> None:
    """Bring an environment back, and make of it and of what others put there what will ship."""
    join(plan)
    tree = bring_back(plan)
    late = relocate(changed_since_build(plan, tree), plan.made, plan.move, hermetic=plan.spec.hermetic)
    if apply(late, plan.stage):
        tree = Tree.from_dir(plan.stage)
    pruning = leave_out_presets(plan, tree, state.project)
    # Two trees at once would take more memory than anything else here.
    if pruning:
        del tree
        tree = Tree.from_dir(plan.stage)
    with step(f"{plan.prefix}: compiled") as details:
        details.append(counted(compile_tree(plan, tree, world.run, world.environ, memory), "module"))
    del tree
    if pruning:
        prove_presets(plan, pruning, memory, world)
    normalise_modes(plan.stage)


def try_out(
    plan: Plan, state: State, memory: Memory, world: World
) -> tuple[Tree, tuple[Distribution, ...], Survey, Smoke]:
    """Import an environment's modules and start its commands, and read its files meanwhile.

    Returns its files, its distributions, what the files tell, and what came of the run.
    """
    search = make_search(plan, state, world)

    def read(tree: Tree) -> tuple[Tree, tuple[Distribution, ...], Survey]:
        edits = reconcile_records(tree, memory.digests)
        apply(edits, plan.stage)
        tree = tree.reread(plan.stage, [edit.path for edit in edits])
        distributions = read_distributions(tree)
        contents = read_environment(tree, distributions, state.project, search, memory)
        return tree, distributions, survey(plan, contents)

    tree = Tree.from_dir(plan.stage)
    with step(f"{plan.prefix}: imported") as details:
        trial = plan_trial(plan, read_distributions(tree), state.project, world.run, world.environ)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(run_smoke, trial, world.run, world.environ)
            tree, distributions, found = read(tree)
            smoke = running.result()
        details += [counted(len(smoke.imported), "module"), counted(len(smoke.commands), "command")]
    (plan.state / "smoke.json").write_text(smoke.to_json(), encoding="utf-8")
    for text in smoke.unused:
        note(f"not needed without an extra: {text}")
    require_passed(smoke, plan.spec.accept, world.run)
    if not tree.matches(plan.stage):
        # A module wrote into the environment when it was imported.
        del tree, distributions, found
        tree, distributions, found = read(Tree.from_dir(plan.stage))
    return tree, distributions, found, smoke


def leave_out_presets(plan: Plan, tree: Tree, project: str) -> Pruning | None:
    """Move what presets of the key ``prune`` name out of the stage, where there are any."""
    if not plan.spec.presets:
        return None
    with step(f"{plan.prefix}: pruned") as details:
        pruning = set_aside(plan, tree, read_distributions(tree), project)
        details += describe(pruning, tree)
    return pruning


def prove_presets(plan: Plan, pruning: Pruning, memory: Memory, world: World) -> None:
    """Bring back what the proof by import finds to be needed, and forget the rest."""
    with step(f"{plan.prefix}: proven") as details:
        outcome = prove(plan, pruning, world.run, world.environ, memory)
        again = [path for path in outcome.kept if path not in pruning.kept]
        if again:
            back = Tree.from_dir(plan.stage).only(again)
            compile_tree(plan, back, world.run, world.environ, memory)
        details.append(
            f"{counted(len(again), 'file')} brought back" if again else "all modules imported as before"
        )
    for text in explain(outcome):
        note(text)
    shutil.rmtree(plan.pruned, ignore_errors=True)


def add_scripts(answer: Answer, plan: Plan, codename: str, which: tuple[str, ...]) -> None:
    """Add the maintainer scripts of an environment's package, or of both."""
    spec = plan.spec
    parts = {spec.package: "upper", spec.env_package: "lower"} if spec.layers else {spec.package: "whole"}
    for package, layer in parts.items():
        snippets = render(plan, codename, which, layer)
        answer.add_snippets(package, plan.state / "autoscripts" / package, snippets)


def finish_lower(
    answer: Answer, plan: Plan, needs: Needs, upper: Subject, world: World
) -> tuple[str, Subject]:
    """Finish the package that the project's stands on, with all but a bill of materials.

    Returns what it provides, on which the project's depends, and what it is.
    """
    describe_lower(plan, world.codename)
    scripts = [snippet.text for snippet in render(plan, world.codename, (*EARLY, *LATE), "lower")]
    layer = name_layer(plan, needs.clauses(), scripts)
    answer.add_depends(plan.spec.env_package, "misc:Provides", [layer])
    answer.add_depends(plan.spec.package, "misc:Depends", [layer])
    return layer, settle_version(plan, layer, upper, world)


def settle_version(plan: Plan, layer: str, subject: Subject, world: World) -> Subject:
    """Return the package under the project's, with the version that it gets, and tell what to do with it."""
    name, place = plan.spec.env_package, place_of(world.codename, subject.architecture)
    record = Record.read(world.source)
    version = record.choose_version(name, place, layer, subject.version)
    if version != subject.version:
        note(f"{name} is as in {version} and keeps that version: .changes lists {subject.name} alone")
    elif record.published.get(name, {}).get(place) != Published(layer=layer, version=version):
        folder = world.environ.get(OUTPUT, "..")
        file = f"{folder}/{name}_{version.partition(':')[2] or version}_{subject.architecture}.deb"
        after = f"Once it is published: venvpkg record {shlex.quote(file)}; and commit {RECORD}"
        if not folder:
            after = (
                "With a debian/ of its own it would keep its version while it stays the same: venvpkg init"
            )
        note(f"{name} is new. {after}")
    (plan.state / "layer.json").write_text(
        json.dumps({"layer": layer, "version": version, "current": subject.version}), encoding="utf-8"
    )
    return replace(subject, name=name, version=version)


def write_bill(subject: Subject, root: Path, environment: Environment) -> None:
    """Write the bill of materials of a package into its build root."""
    if not write_sbom(make_sbom(subject, [environment]), root, subject.name):
        note(f"no bill of materials: /usr/share/doc/{subject.name} is a link to another package's")


def gate(call: Call, world: World) -> dict[str, Report]:
    """Check the packages as they will ship, and return what is not accepted: dh_venvpkg_verify."""
    reports = {}
    for plan, state in staged(call, world):
        with step(f"{plan.prefix}: verified") as details:
            tree, control = finish(plan)
            ask = partial(System.read, world.run)
            memory = Memory(digests=Digests.load(plan.state / DIGESTS), cache=world.cache)
            evidence = gather(
                tree,
                plan.inside,
                make_search(plan, state, world),
                ask,
                control,
                clashes=state.clashes,
                memory=memory,
            )
            smoke = Smoke.load(plan.state / "smoke.json")
            evidence = evidence.with_run(smoke, partial(read_owners, world.run))
            report = verify(evidence, GATE)
            for path, line in evidence.startup.items():
                note(f"{path} runs code whenever Python starts: {line[:80]}")
            details.append(counted(report.checked, "file"))
        left = reports[plan.spec.package] = report.without(plan.spec.accept)
        (plan.state / VERIFIED).write_text(to_proof(plan, state, evidence, report, left), encoding="utf-8")
    return reports


def to_proof(plan: Plan, state: State, evidence: Evidence, report: Report, left: Report) -> str:
    """Return as JSON what was checked and run of an environment, and what came of it."""
    smoke = evidence.smoke or Smoke()
    programs = [name for d in evidence.distributions if d.name == state.project for name in d.programs]
    about = {
        "prefix": str(plan.prefix),
        "checked": report.checked,
        "findings": [asdict(finding) for finding in left.findings],
        "accepted": [asdict(f) for f in report.findings if f not in left.findings],
        "imported": sorted(smoke.imported),
        "commands": list(smoke.commands),
        "programs": [str(plan.prefix / "bin" / name) for name in sorted(programs)],
    }
    return json.dumps(about, indent=1, ensure_ascii=False)


def finish(plan: Plan) -> tuple[Tree, dict[str, str] | None]:
    """Return the package as it will ship, both of a layered environment as one, with the fields of both."""
    tree = Tree.from_dir(plan.package_root)
    if not plan.spec.layers:
        return tree, None
    about = json.loads((plan.state / "layer.json").read_text(encoding="utf-8"))
    keep_version(plan, about["version"], about["current"])
    lower = Tree.from_dir(plan.env_root)
    fields = read_fields(tree), read_fields(lower)
    require_bound(*fields, about["layer"])
    return unite(tree, lower), unite_fields(*fields)


def read_specs(call: Call, world: World) -> list[Spec]:
    """Return the specs of those called packages that get an environment."""
    configuration = read_configuration(world.source)
    packages = read_control(world.source / "debian" / "control").packages
    told = translate(call.options, world.environ, world.source, former=call.former)
    for text in filter(None, (*told.notes, find_unread(world.source))):
        warn(text)
    if call.former:
        # It gives one to every package that debhelper acts on.
        tables = {name: configuration.packages.get(name, {}) for name in call.packages}
        values = {**told.defaults, **configuration.values}
        configuration = replace(configuration, values=values, packages=tables)
    variables, options = read_variables(world.environ), read_options(told.values)
    return make_specs(configuration, packages, call.packages, variables, options)


def staged(call: Call, world: World) -> Iterator[tuple[Plan, State]]:
    """Yield the plan of every called package that dh_venvpkg made an environment for."""
    configuration = read_configuration(world.source)
    for package in call.packages:
        state = State.load(world.source, package)
        if state:
            spec = configuration.with_values(package, state.values)
            yield make_plan(spec, state.interpreter, call.roots[package]), state


def inventory(plan: Plan, state: State, needs: Needs, tree: Tree) -> Environment:
    """Return what the bill of materials tells, from the files as they will ship."""
    return Environment(
        prefix=plan.prefix,
        tree=tree,
        distributions=read_distributions(tree),
        links=[link for link in needs.links if link.object in tree],
        project=state.project,
        python=plan.interpreter.minor,
        interpreter=plan.program,
    )


def read_subject(package: Package, world: World) -> Subject:
    """Return the binary package that is built, with the version of debian/changelog."""
    version = world.run(["dpkg-parsechangelog", "-SVersion"], cwd=world.source).stdout.strip()
    # "any" or a list in debian/control is one architecture in the package.
    architecture = "all" if package.is_arch_all else host_architecture(world.run)
    return Subject(name=package.name, version=version, architecture=architecture)


def make_search(plan: Plan, state: State, world: World) -> Search:
    """Return what nothing in the package may hold: folders of the build machine, and its secrets."""
    spec = plan.spec
    places = {str(spec.source / "debian")}
    if plan.bundled and str(plan.interpreter.origin) not in COMMON:
        places.add(str(plan.interpreter.origin))
    # A source tree in /src or /build would find every word of that kind; its debian/ folder is enough.
    if len(spec.source.parts) > 2 and not plan.prefix.is_relative_to(spec.source):
        places.add(str(spec.source))
    texts = [spec.index_url, *spec.extra_index_url, *spec.find_links]
    texts += [f.read_text("utf-8", "replace") for f in plan.requirements.files if f.is_file()]
    return Search(
        build_paths=tuple(place.encode() for place in sorted(places)),
        passing=(state.scratch.encode(),),
        secrets=known_secrets(world.environ, texts),
    )
