"""The documentation site: its made pages, its links, and its search in a browser."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import jaxbq
from jaxbq.cli import _parser
from jaxbq.experiment import Experiment, load_configs
from jaxbq.experiment.config import Certifying
from jaxbq.methods import Method, Transpose
from jaxbq.options import validate
from scripts.site import pages

ROOT = Path(__file__).parent.parent


def test_the_config_reference_has_every_option_with_its_meaning():
    made = pages.config_reference()
    for cls in pages.options_classes(Experiment):
        (section,) = re.findall(rf"^## {cls.__name__}\b[^\n]*\n(.*?)(?=^## |\Z)", made, re.M | re.S)
        rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", section, re.M))
        wanted = {field.name for field in dataclasses.fields(cls)} - {"kind", "rule"}
        assert set(rows) == wanted, cls
        assert all(rows.values()), (cls, [name for name in rows if not rows[name]])
    assert '| `biases` | `"ignore"`, `"subtract"` | `"ignore"` |' in made
    assert Transpose in pages.options_classes(Experiment)


def test_the_pages_on_configs_name_every_option():
    text = "".join(
        (ROOT / "docs" / f"{name}.md").read_text()
        for name in ("configs", "own-network", "own-models")
    )
    for cls in pages.options_classes(Experiment):
        for field in dataclasses.fields(cls):
            assert re.search(rf"\b{field.name}\b", text), f"{cls.__name__}.{field.name}"


def changed(given, default, path):
    """Options that are not as by default, by their dotted keys."""
    if dataclasses.is_dataclass(given) and type(given) is type(default):
        for field in dataclasses.fields(given):
            name = field.name
            yield from changed(getattr(given, name), getattr(default, name), f"{path}.{name}")
    elif given != default:
        yield path


def test_the_example_in_configs_md_shows_the_defaults(tmp_path):
    text = (ROOT / "docs" / "configs.md").read_text()
    example = re.search(r"```toml\n(.*?)```", text, re.S)
    (tmp_path / "example.toml").write_text(example[1])
    ((_, given),) = load_configs(str(tmp_path / "example.toml"), [])
    rest = dataclasses.replace(given, methods=())
    assert list(changed(rest, Experiment(), "experiment")) == ["experiment.name"]
    proofs = re.search(r"```toml\n\[certificate\](.*?)```", text, re.S)
    assert validate(Certifying, tomllib.loads(proofs[1]), "configs.md") == Certifying()
    kinds = [cls.kind for cls in pages.options_classes(Experiment) if issubclass(cls, Method)]
    assert len(kinds) > 10
    assert [kind for kind in kinds if f'"{kind}"' not in example[1]] == []
    for method in given.methods:
        if not getattr(method, "label", ""):  # that of a preset
            assert list(changed(method, type(method)(), method.kind)) == []


def test_the_references_have_every_command_and_public_name():
    made = pages.command_reference()
    listed = re.findall(r"^    ([a-z]+) ", _parser().format_help(), re.M)
    assert re.findall(r"^## jaxbq (\w+)$", made, re.M) == listed
    api = (ROOT / "docs" / "reference" / "api.md").read_text()
    assert sorted(re.findall(r"^::: jaxbq\.(\w+)$", api, re.M)) == sorted(jaxbq.__all__)


def test_every_page_is_in_the_navigation():
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    docs = ROOT / "docs"
    there = {str(path.relative_to(docs)) for path in docs.rglob("*.md")}
    there |= {place for place in pages.MADE if place.endswith(".md")}
    assert sorted(listed) == sorted(there)


class Page(HTMLParser):
    """Anchors of a page, what it links to, and what a browser loads for it."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        place = given.get("href" if tag in ("a", "link") else "src")
        if place:
            (self.links if tag == "a" else self.loads).append(place)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built as `make docs` does, where every connection to another host would fail."""
    root = tmp_path_factory.mktemp("checkout")
    for place in ("docs", "scripts", "jaxbq"):
        shutil.copytree(ROOT / place, root / place)
    shutil.copy(ROOT / "mkdocs.yml", root)
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    paths = {"PYTHONPATH": os.pathsep.join([str(root), *filter(None, sys.path)])}
    for command in (["scripts/site/pages.py"], ["-m", "zensical", "build", "--strict", "--clean"]):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=root,
            check=False,
            capture_output=True,
            text=True,
            env=os.environ | nowhere | paths,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return root / "build" / "site"


@pytest.mark.slow
def test_no_link_of_the_site_is_broken_and_nothing_is_loaded_from_another_host(site):
    found = {path: Page(path.read_text()) for path in site.rglob("*.html")}
    assert len(found) > 20
    wrong = []
    for path, page in found.items():
        if path.name == "404.html":  # its links are for a server's root
            continue
        wrong += [f"{path.name} loads {load}" for load in page.loads if urlsplit(load).netloc]
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                wrong.append(f"{path.name}: {link}")
            elif parts.fragment and unquote(parts.fragment) not in found[target].anchors:
                wrong.append(f"{path.name}: {link}, no such anchor")
    assert wrong == []


@pytest.mark.slow
def test_the_search_finds_a_page_in_a_folder_without_a_network(site, browser):
    asked, faults = [], []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.goto((site / "index.html").as_uri())
    page.get_by_role("button", name="Search").first.click()
    page.keyboard.type("transpose assumes", delay=30)
    page.get_by_role("option", name="What the transpose assumes").click()
    page.wait_for_url("**/maths.html*")
    assert "What the transpose assumes" in page.content()
    page.goto((site / "tutorial.html").as_uri())
    page.wait_for_function("[...document.images].every((i) => i.complete && i.naturalWidth)")
    page.close()
    assert faults == []
    assert [place for place in asked if not place.startswith("file:")] == []
