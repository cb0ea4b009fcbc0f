"""The house itself: start-up, documents that tell the truth, files that are generated."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from tools.sample import sample

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
    assert not loaded(program) & {"torch", "numpy", "duckdb", "pydantic", "pandas", "scipy"}


def test_a_study_is_read_without_numpy_and_a_table_without_torch_or_pandas() -> None:
    assert not loaded("import prunescope; prunescope.read_study('digits').ladders") & {"torch", "numpy", "duckdb"}
    program = f"import prunescope; prunescope.read_table({str(SOURCE / 'samples' / 'family.csv')!r}).where('depth = 8')"
    assert not loaded(program) & {"torch", "pandas", "pydantic"}


def test_choosing_and_planning_load_no_torch() -> None:
    table = "prunescope.demo.sample_path()"
    program = "import prunescope, prunescope.demo; from prunescope.choose.sentences import answer_lines; "
    program += (
        f"found = prunescope.smallest_network({table}, 0.2, intervals='quick'); list(answer_lines(found.answers[0])); "
    )
    program += f"prunescope.next_ladders(prunescope.read_table({table}), 0.2)"
    assert not loaded(program) & {"torch", "scipy", "pandas"}


def test_a_report_is_made_without_torch_and_its_numbers_without_drawing() -> None:
    program = "from prunescope.report import report; "
    program += "made = report({'density': [1.0, 0.5, 0.25, 0.1], 'error': [0.1, 0.11, 0.2, 0.4]}, draws=0); "
    assert not loaded(program + "assert made.chapters") & {"torch", "scipy", "pandas", "altair", "vl_convert", "jinja2"}
    program += "from prunescope.report.page.page import page; page(made)"
    assert not loaded(program) & {"torch", "scipy", "pandas"}


def test_a_plan_estimates_without_torch() -> None:
    program = "from click.testing import CliRunner; from prunescope.cli.main import cli\n"
    program += "shown = CliRunner().invoke(cli, ['plan', 'resnet-cifar10']).output\nassert 'of memory' in shown, shown"
    assert "torch" not in loaded(program)


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
    from prunescope.study.sections import Axes, El2n, Recipe, StudyKeys, Treatment

    page = (ROOT / "docs" / "study.md").read_text()
    for section in (StudyKeys, Axes, Recipe, Treatment, El2n):
        for key in section.model_fields:
            assert f"| `{key}` |" in page, key


def test_the_page_of_the_structure_names_every_room_and_every_file() -> None:
    page = (ROOT / "docs" / "structure.md").read_text()
    for path in SOURCE.rglob("*.py"):
        if not path.name.startswith("__"):
            assert f"`{path.relative_to(SOURCE)}`" in page, path
    for named in re.findall(r"`([a-z_/]+\.py)`", page):
        assert (SOURCE / named).exists() or (ROOT / named).exists(), named


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
    for extra in extras.keys() - {"dev"}:
        for requirement in extras[extra]:
            module = re.split(r"[<>=]", requirement)[0].removesuffix("-python").replace("-", "_")
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
