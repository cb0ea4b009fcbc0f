"""The house itself: start-up, documents that tell the truth, files that are generated."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path

import pytest
from tools.minimum import minimum_constraints
from tools.package import archive_faults, wheel_faults
from tools.sample import sample
from tools.site import PAGES, exported_names, loads_from_elsewhere, moved_links, reference_pages

import prunescope

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "prunescope"


def loaded(program: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after a program."""
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded("import prunescope") & {"torch", "numpy", "duckdb", "pydantic", "click", "pandas", "scipy"}


def test_help_loads_nothing_heavy() -> None:
    program = "from click.testing import CliRunner; from prunescope.cli.main import cli\n"
    program += "assert CliRunner().invoke(cli, ['--help']).exit_code == 0"
    assert not loaded(program) & {"torch", "numpy", "duckdb", "pydantic", "pandas", "scipy", "distributed", "fsspec"}


def test_dask_is_loaded_for_a_cluster_alone() -> None:
    program = "from prunescope.run import study_run; from prunescope.run.cluster import Cluster; "
    assert not loaded(program + "Cluster('tcp://127.0.0.1:8786')") & {"distributed", "dask", "dask_jobqueue"}


def test_a_study_is_read_without_numpy_and_a_table_without_torch_or_pandas() -> None:
    assert not loaded("import prunescope; prunescope.read_study('digits').ladders") & {"torch", "numpy", "duckdb"}
    program = f"import prunescope; prunescope.read_table({str(SOURCE / 'samples' / 'family.csv')!r}).where('depth = 8')"
    assert not loaded(program) & {"torch", "pandas", "pydantic"}


def test_choosing_and_planning_load_no_torch() -> None:
    table = "prunescope.demo.sample_path()"
    program = "import prunescope, prunescope.demo; from prunescope.choose.answers import answer_lines; "
    program += (
        f"found = prunescope.smallest_network({table}, 0.2, intervals='quick'); list(answer_lines(found.answers[0])); "
    )
    program += f"prunescope.next_ladders(prunescope.read_table({table}), 0.2)"
    assert not loaded(program) & {"torch", "scipy", "pandas"}


def test_a_report_is_made_without_torch_and_its_numbers_without_drawing() -> None:
    program = "from prunescope.report import report; "
    program += "made = report({'density': [1.0, 0.5, 0.25, 0.1], 'error': [0.1, 0.11, 0.2, 0.4]}, draws=0); "
    assert not loaded(program + "assert made.chapters") & {"torch", "scipy", "pandas", "altair", "vl_convert", "jinja2"}
    program += "from prunescope.report.page.rendering import page; page(made)"
    assert not loaded(program) & {"torch", "scipy", "pandas"}


def test_a_plan_estimates_without_torch() -> None:
    program = "from click.testing import CliRunner; from prunescope.cli.main import cli\n"
    program += "shown = CliRunner().invoke(cli, ['plan', 'resnet-cifar10']).output\nassert 'of memory' in shown, shown"
    assert "torch" not in loaded(program)


def test_a_plan_needs_no_torch_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from prunescope.cli.main import cli

    installed = metadata.distribution

    def without_torch(name: str) -> metadata.Distribution:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(metadata, "distribution", without_torch)
    shown = CliRunner().invoke(cli, ["plan", "digits"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "2,088 rungs" in shown.output


def test_every_public_name_is_there() -> None:
    for name in prunescope.__all__:
        assert getattr(prunescope, name) is not None
    assert set(prunescope.__all__) <= set(dir(prunescope))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = prunescope.nothing


def test_the_sample_table_is_what_its_program_makes() -> None:
    assert (SOURCE / "samples" / "family.csv").read_text() == sample()


def test_the_page_of_the_table_is_not_stale() -> None:
    from prunescope.table.reference import main, reference

    assert (ROOT / "docs" / "table.md").read_text() == reference()
    assert main(["--check", str(ROOT / "README.md")]) == 1


def test_the_page_of_the_study_names_every_key() -> None:
    from prunescope.study.sections import Axes, El2n, OwnDataset, Recipe, StudyKeys, Treatment

    page = (ROOT / "docs" / "study.md").read_text()
    for section in (StudyKeys, Axes, Recipe, Treatment, El2n, OwnDataset):
        for key in section.model_fields:
            assert f"| `{key}` |" in page, key


def test_the_page_of_the_structure_names_every_room_and_files_that_are_there() -> None:
    page = (ROOT / "docs" / "structure.md").read_text()
    for room in (folder for folder in SOURCE.iterdir() if (folder / "__init__.py").exists()):
        assert f"| `{room.name}` |" in page, room.name
    for named in re.findall(r"`([a-z_0-9/]+\.py)`", page + (ROOT / "CONTRIBUTING.md").read_text()):
        assert (SOURCE / named).exists() or (ROOT / named).exists(), named


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_first_line_of_every_file_says_what_it_is_for(path: Path) -> None:
    first = path.read_text().split("\n")[0]
    assert re.fullmatch(r'""".{10,}\.(""")?', first), first


def test_the_page_of_dependencies_names_each_of_them() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(needed for extra in project["optional-dependencies"].values() for needed in extra),
    ]
    for requirement in wanted:
        name = re.split(r"[<>=]", requirement)[0]
        assert f"| {name} |" in page, name


def test_every_package_of_an_extra_for_users_is_imported_somewhere() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    source = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    for extra in extras.keys() - {"dev", "site"}:
        for requirement in extras[extra]:
            module = re.split(r"[<>=]", requirement)[0].removesuffix("-python").replace("-", "_")
            module = {"pillow": "PIL"}.get(module, module)
            assert re.search(rf"^\s*(import|from) {module}\b", source, re.MULTILINE), requirement


def test_the_lock_holds_every_package_that_is_installed_here() -> None:
    pins = dict(
        line.lower().replace("_", "-").split("==")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if not line.startswith("#")
    )
    for name in ("click", "duckdb", "numpy", "pydantic", "safetensors", "torch", "pytest"):
        assert name in pins
    for name, version in pins.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        assert installed.split("+")[0] == version, name


def test_the_lowest_versions_are_those_of_the_project_and_torch_is_the_locks() -> None:
    constraints = minimum_constraints()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        assert requirement.replace(">=", "==") in constraints
    assert "torch==2.13.0" in constraints
    assert any(line.startswith("pytest<=") for line in constraints)


def test_a_source_archive_or_a_wheel_that_lacks_a_file_or_has_one_too_many_is_noticed() -> None:
    tracked = {"src/prunescope/nets/planar.c", "tests/builders.py"}
    assert archive_faults(tracked | {"PKG-INFO"}, tracked, tracked) == []
    (missing,) = archive_faults({"tests/builders.py"}, tracked, tracked)
    assert "planar.c" in missing
    (strange,) = archive_faults(tracked | {".venv/tests/builders.py"}, tracked, tracked)
    assert ".venv" in strange
    assert archive_faults(tracked | {"tests/new.py"}, tracked, tracked | {"tests/new.py"}) == []
    assert wheel_faults({"prunescope/nets/planar.c"}, {"src/prunescope/nets/planar.c"}) == []
    assert len(wheel_faults(set(), {"src/prunescope/nets/planar.c"})) == 1


def test_the_sites_reference_has_every_public_name_once() -> None:
    pages = reference_pages()
    entries = re.findall(r"^::: (.*)$", "\n".join(pages.values()), re.MULTILINE)
    assert len(entries) == len(set(entries))
    for name, module in exported_names(SOURCE / "__init__.py"):
        assert f"{module}.{name}" in entries
        assert f"#{module}.{name})" in pages["reference/index.md"]
    assert {name for name, _ in exported_names(SOURCE / "__init__.py")} == set(prunescope.__all__) - {"__version__"}
    for room in ("run", "nets", "export"):
        shown = {entry.split(".")[2] for entry in entries if entry.startswith(f"prunescope.{room}.")}
        assert shown == set(import_module(f"prunescope.{room}").__all__)


def test_links_lead_to_the_pages_of_the_site_and_code_is_left_alone() -> None:
    assert moved_links("[a](docs/laws.md#fit)", "README.md") == "[a](laws.md#fit)"
    assert moved_links("[a](../README.md)", "docs/index.md") == f"[a]({PAGES['README.md']})"
    assert moved_links("[a](../src/prunescope/data/digits/README.md)", "docs/data.md") == "[a](digits.md)"
    assert moved_links("[a](https://doi.org/1)", "README.md") == "[a](https://doi.org/1)"
    assert moved_links("`[a](docs/laws.md)`", "README.md") == "`[a](docs/laws.md)`"


def test_a_site_that_loads_from_elsewhere_is_noticed() -> None:
    assert loads_from_elsewhere('<a href="https://arxiv.org/abs/2006.10621">paper</a><img src="pictures/a.svg">') == []
    for text in (
        '<script src="https://unpkg.com/iframe-worker/shim"></script>',
        '<link rel="stylesheet" href="https://fonts.googleapis.com/css">',
        '<img src="//example.org/a.png">',
        "src: url(https://example.org/a.woff2)",
        '<a href="https://example.org">elsewhere</a>',
    ):
        assert len(loads_from_elsewhere(text)) == 1, text


DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", path.read_text()):
        if "://" in target:  # the documents stand on their own; papers are named with their address
            assert target.startswith(("https://arxiv.org/abs/", "https://doi.org/")), target
        else:
            assert (path.parent / target).exists(), target


def test_the_example_of_the_study_page_is_a_study() -> None:
    from prunescope.study import parse_study

    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "study.md").read_text(), re.DOTALL)
    assert len(parse_study(example).ladders) == 2 * 3 * 2 * 3


def test_the_readme_tells_the_faults_as_they_are_told(tmp_path: Path) -> None:
    from prunescope.errors import InputError

    quoted = re.search(r"prunescope: (results.csv: .*?)\n\n", (ROOT / "README.md").read_text(), re.DOTALL)
    assert quoted is not None
    lines = [
        "depth,density,eror,width",
        "20,1,0.1,1",
        "20,1.5,0.1,1",
        "20,0.5,0.1,wide",
        *["20,0.5,0.1,1"] * 4,
        "20,0,0.1,1",
    ]
    (tmp_path / "results.csv").write_text("\n".join(lines))
    with pytest.raises(InputError) as raised:
        prunescope.read_table(tmp_path / "results.csv")
    shown = str(raised.value).replace(str(tmp_path) + "/", "").splitlines()
    assert shown == [line.removeprefix("    ") for line in quoted[1].splitlines()]
