"""What the README shows works as it stands there."""

import re
from pathlib import Path

import jaxbq
from jaxbq.cli.experiments import bundled_configs
from scripts.site import pages

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_python_example_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    # Quicker, and otherwise to the letter.
    code = code.replace("epochs=30", "epochs=2").replace("steps=500", "steps=20")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert (tmp_path / "digits.png").stat().st_size > 10_000
    assert [result.images.shape for result in names["results"]] == [(10, 1, 784), (10, 4, 784)]


def test_links_and_configs_named_in_the_docs_exist():
    bundled = bundled_configs()
    made = {ROOT / "docs" / place for place in pages.MADE}
    written = {ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")}
    for page in written - made:
        text = page.read_text()
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            target = (page.parent / link).resolve()
            assert target.exists() or target in made, f"{page.name}: {link}"
        for config in re.findall(r"configs/[\w-]+\.toml", text):
            assert (ROOT / config).exists(), f"{page.name}: {config}"
        for name in re.findall(r"jaxbq (?:run|train) ([a-z][\w/]+)(?![\w/.])", text):
            assert name in bundled, f"{page.name}: {name}"


def test_every_public_name_can_be_imported():
    stub = (ROOT / "jaxbq" / "__init__.pyi").read_text()
    names = re.findall(r" as (\w+)", stub)
    assert set(names) == set(jaxbq.__all__)
    for name in names:
        assert getattr(jaxbq, name).__doc__
