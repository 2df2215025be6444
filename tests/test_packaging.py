"""What an installation says of itself: its version, and the commands that add extras."""

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

import vitruvian
from vitruvian.errors import pip_install

ROOT = Path(__file__).parents[1]
COMMIT = "aa2e26b0975b4c6ac4bd51ce6dc4c9f6b29fe9a1"
installed_version = vitruvian._installed_version  # pyright: ignore[reportAttributeAccessIssue]
IN_A_CLONE = "pip install '.[live]' in a clone of vitruvian"


def installed(monkeypatch: pytest.MonkeyPatch, direct_url: dict | None) -> None:
    """Vitruvian is installed, and pip has left this in its `direct_url.json`, or no such file."""
    text = None if direct_url is None else json.dumps(direct_url)
    found = SimpleNamespace(read_text={"direct_url.json": text}.get, version="1.2.3")
    monkeypatch.setattr(metadata, "distribution", {"vitruvian": found}.__getitem__)


def test_an_extra_is_installed_from_where_vitruvian_was(monkeypatch, tmp_path):
    clone = tmp_path / "a clone"
    clone.mkdir()
    folder = clone.as_uri()
    git = {"url": "https://example.org/v.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}
    wheel = {"url": "file:///tmp/vitruvian-1-py3-none-any.whl", "archive_info": {}}
    for direct_url, want in (
        (None, "pip install 'vitruvian[live]'"),
        ({"url": folder, "dir_info": {}}, f"pip install '{clone}[live]'"),
        ({"url": folder, "dir_info": {"editable": True}}, f"pip install -e '{clone}[live]'"),
        ({"url": f"{folder}/gone", "dir_info": {}}, IN_A_CLONE),
        (git, f"pip install 'vitruvian[live] @ git+https://example.org/v.git@{COMMIT}'"),
        (wheel, f"pip install 'vitruvian[live] @ {wheel['url']}'"),
    ):
        installed(monkeypatch, direct_url)
        assert pip_install("live") == want


def test_files_on_python_s_path_are_no_installation(monkeypatch):
    def nothing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", nothing)
    assert pip_install("live") == IN_A_CLONE
    assert installed_version() == "0+unknown"


def test_the_version_is_that_of_the_installation(monkeypatch):
    installed(monkeypatch, None)
    assert installed_version() == "1.2.3"


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_messages_name_extras_that_exist():
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"pip_install\(['\"](\w+)['\"]\)", source))
    assert len(named) > 5
    assert named <= set(project()["optional-dependencies"])
    assert re.findall(r"pip install ['\"]vitruvian\[\w", source) == []  # only of an index


def test_dependencies_have_lowest_versions_that_ci_can_install():
    """`.ci/lowest` installs exactly them. pip, and what tests and docs need, may be any."""
    told = project()
    extras = told["optional-dependencies"]
    dependencies = [*told["dependencies"]]
    for extra in set(extras) - {"docs", "dev", "programs"}:
        dependencies += [each for each in extras[extra] if not each.startswith("vitruvian[")]
    without = [
        each for each in dependencies if not re.fullmatch(r"[\w.-]+(\[\w+\])?>=[\d.]+", each)
    ]
    assert without == ["pip"]
