"""The page on installation: its commands work, and none installs RudderStack's own package."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

import dagster_rudderstack
from dagster_rudderstack_tests.processes.harness import end_group, free_port, wait_for
from dagster_rudderstack_tests.project import pages
from dagster_rudderstack_tests.project.pages import ROOT, blocks_of, section
from dagster_rudderstack_tests.project.test_packaging import import_names, pyproject

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = pages.DOCS / "install.md"
TEXT = PAGE.read_text()
COMMANDS = [line for block in blocks_of(TEXT, "sh") for line in block.splitlines()]
VERSION = dagster_rudderstack.__version__
WHEEL = f"dagster_rudderstack-{VERSION}-py3-none-any.whl"
PROGRAMS = Path(sys.executable).parent
PROJECT_TOML, SOURCES_TOML = blocks_of(TEXT, "toml")


def run(
    command: str, folder: Path, *, succeeds: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of the page without a network."""
    offline = {
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        # Pip reads this as the option --no-build-isolation.
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_TARGET": str(folder / "installed"),
        "PIP_UPGRADE": "1",
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    done = subprocess.run(
        ["bash", "-euc", command],  # noqa: S607 - as a user does
        cwd=folder,
        env={**offline, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode == 0) is succeeds, done.stdout + done.stderr
    return done


def installed_version(folder: Path) -> str:
    (info,) = (folder / "installed").glob("dagster_rudderstack-*.dist-info")
    return info.name.removeprefix("dagster_rudderstack-").removesuffix(".dist-info")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this package, built with the command of the page."""
    (build,) = (line for line in COMMANDS if line.startswith("python -m build"))
    folder = tmp_path_factory.mktemp("wheel")
    run(f"cd {ROOT} && {build} --no-isolation --outdir {folder}", folder)
    assert f"`dist/{WHEEL}`" in TEXT
    return folder / WHEEL


@pytest.fixture
def other_package(tmp_path: Path) -> Path:
    """A folder with a wheel of 1.3.0, as an index with RudderStack's own package has."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "dagster_rudderstack-1.3.0.dist-info"
    with zipfile.ZipFile(folder / "dagster_rudderstack-1.3.0-py3-none-any.whl", "w") as archive:
        archive.writestr("dagster_rudderstack/__init__.py", "")
        metadata = "Metadata-Version: 2.1\nName: dagster-rudderstack\nVersion: 1.3.0\n"
        archive.writestr(f"{info}/METADATA", metadata)
        tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tag)
        archive.writestr(f"{info}/RECORD", "")
    return folder


def local(command: str, wheel: Path) -> str:
    """Replace the paths of the page with those of this machine."""
    return command.replace(f"/path/to/{WHEEL}", str(wheel)).replace(
        "/path/to/dagster-rudderstack", str(ROOT)
    )


@pytest.mark.processes
def test_index_without_version_2(other_package: Path, tmp_path: Path) -> None:
    """If the index has only RudderStack's own package, nothing is installed."""
    asked = next(line for line in COMMANDS if line.startswith("pip install"))

    refused = run(asked, tmp_path, succeeds=False, PIP_FIND_LINKS=str(other_package))

    assert "No matching distribution found for dagster-rudderstack>=2" in refused.stderr
    assert not (tmp_path / "installed").exists()


@pytest.mark.processes
def test_index_with_version_2(other_package: Path, wheel: Path, tmp_path: Path) -> None:
    """If the index has version 2, it is installed."""
    shutil.copy(wheel, other_package)
    asked = next(line for line in COMMANDS if line.startswith("pip install"))

    run(asked, tmp_path, PIP_FIND_LINKS=str(other_package))

    assert installed_version(tmp_path) == VERSION


FROM_PATHS = [line for line in COMMANDS if line.startswith("pip install") and "/path/to/" in line]


@pytest.mark.processes
@pytest.mark.parametrize("command", FROM_PATHS)
def test_from_a_path(command: str, wheel: Path, tmp_path: Path) -> None:
    """The commands that name a wheel or a clone install this package."""
    run(local(command, wheel), tmp_path)

    assert installed_version(tmp_path) == VERSION


def test_supported_versions() -> None:
    """The page has the versions of Python and Dagster that the package declares."""
    project = pyproject()["project"]
    (dagster,) = (each for each in project["dependencies"] if each.startswith("dagster>"))
    oldest, below = re.findall(r"[\d.]+", dagster)
    first, after = re.findall(r"3\.(\d+)", project["requires-python"])

    promised = (
        f"Python 3.{first} to 3.{int(after) - 1} and Dagster {oldest} or newer, below {below}."
    )
    assert promised in TEXT
    assert tomllib.loads(PROJECT_TOML)["project"]["requires-python"] == project["requires-python"]
    assert f'"{dagster}"' in PROJECT_TOML


def test_extras() -> None:
    """The table has the extras of the package and what they install."""
    extras = pyproject()["project"]["optional-dependencies"]
    table = {row[0].strip("`"): set(row[1].split(", ")) for row in pages.rows("Extras", PAGE)}

    assert table == {extra: import_names(needed) for extra, needed in extras.items()}


def test_pyproject() -> None:
    """The project depends on version 2 wherever it names the package."""
    project = tomllib.loads(PROJECT_TOML)
    named = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    ours = [each for each in named if "rudderstack" in each]

    assert ours == ["dagster-rudderstack[lineage]>=2,<3", "dagster-rudderstack[testing]>=2,<3"]


@pytest.mark.processes
@pytest.mark.skipif(not (shutil.which("uv") or os.environ.get("CI")), reason="needs uv")
def test_sources_of_uv(wheel: Path, tmp_path: Path) -> None:
    """With the table of sources, uv takes the wheel."""
    (tmp_path / "packages").mkdir()
    shutil.copy(wheel, tmp_path / "packages")
    # Dagster is in no index here.
    toml = re.sub(r'  "dagster>=.*\n', "", PROJECT_TOML)
    (tmp_path / "pyproject.toml").write_text(f"{toml}\n{SOURCES_TOML}")

    command = f"uv pip compile --offline --no-deps --python {sys.executable} pyproject.toml"
    assert f"packages/{WHEEL}" in run(command, tmp_path).stdout


@pytest.mark.processes
def test_which_package() -> None:
    """The commands that show the installed package work with this one."""
    show, version = blocks_of(section("Which package is installed?", PAGE), "sh")[0].splitlines()

    assert f"Version: {VERSION}" in run(show, ROOT).stdout
    assert run(version, ROOT, PYTHONPATH=str(ROOT)).stdout == f"dagster-rudderstack {VERSION}\n"


@pytest.mark.processes
def test_which_package__other_one(vendor_python: str) -> None:
    """RudderStack's own package has no command, and no module `testing`."""
    command = [vendor_python, "-I", "-c", "import dagster_rudderstack.testing"]
    failed = subprocess.run(command, check=False, capture_output=True, text=True)

    error = "No module named 'dagster_rudderstack.testing'"
    assert error in failed.stderr
    assert f"`{error}`" in TEXT
    assert not Path(vendor_python).with_name("dagster-rudderstack").exists()


# The image, without a Docker engine


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with their arguments."""
    (dockerfile,) = blocks_of(TEXT, "dockerfile")
    return [(line.split()[0], line.partition(" ")[2]) for line in dockerfile.splitlines()]


@pytest.fixture(scope="module")
def image(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder of the image: the project of Getting started, and the wheel."""
    root = tmp_path_factory.mktemp("image")
    run("create-dagster project reverse-etl --no-uv-sync", root)
    folder = root / "reverse-etl"
    resources = pages.block("Add the resource", "python", pages.DOCS / "getting-started.md")
    (folder / "src" / "reverse_etl" / "defs" / "resources.py").write_text(resources)
    (folder / "packages").mkdir()
    shutil.copy(wheel, folder / "packages")
    return folder


def in_image(folder: Path) -> dict[str, str]:
    """Return the environment of the image: the project is installed, and there is no token."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return {"PYTHONPATH": f"{folder / 'src'}{os.pathsep}{ROOT}", "DAGSTER_HOME": str(home)}


@pytest.mark.processes
def test_image__build(image: Path) -> None:
    """The files that are copied exist, and the commands of the build succeed without a token."""
    copied = [arguments.split()[0] for name, arguments in instructions() if name == "COPY"]
    install, validate = (arguments for name, arguments in instructions() if name == "RUN")

    assert [name for name in copied if not (image / name).exists()] == []
    run(install, image)
    assert installed_version(image) == VERSION
    assert (image / "installed" / "reverse_etl").is_dir()
    run(validate, image, succeeds=True, **in_image(image))


@pytest.mark.processes
def test_image__starts(image: Path) -> None:
    """The command of the image serves the code location at the port that it exposes."""
    ((_, exposed),) = (each for each in instructions() if each[0] == "EXPOSE")
    ((_, command),) = (each for each in instructions() if each[0] == "CMD")
    port = free_port()
    arguments = [str(port) if each == exposed else each for each in json.loads(command)]
    assert str(port) in arguments

    process = subprocess.Popen(
        shlex.split(f"{PROGRAMS}/{shlex.join(arguments)}"),
        cwd=image,
        env={"PATH": os.environ["PATH"], **in_image(image)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def listens() -> bool:
        assert process.poll() is None
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        wait_for(listens, "the code server")
    finally:
        end_group(process)
