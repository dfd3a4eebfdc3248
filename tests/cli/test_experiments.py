from pathlib import Path

import pytest

from jaxbq.cli import experiments, main
from jaxbq.cli.experiments import bundled_configs, find_config
from jaxbq.experiment import load_configs

CONFIGS = Path(__file__).parents[2] / "configs"


def test_every_config_is_bundled_and_says_how_it_is_run_how_long_and_what_it_shows():
    found = bundled_configs()
    assert {one.path for one in found.values()} == set(CONFIGS.rglob("*.toml"))
    for name, one in found.items():
        assert one.path.read_text().startswith(f"# jaxbq run {name}\n")
        assert one.time
        assert one.shows
        assert load_configs(one.path)


def test_a_file_comes_before_a_bundled_config_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("smoke") == CONFIGS / "smoke.toml"
    assert find_config("studies/mush") == CONFIGS / "studies" / "mush.toml"
    assert find_config("mine.toml") == Path("mine.toml")
    (tmp_path / "smoke").mkdir()
    assert find_config("smoke") == CONFIGS / "smoke.toml"
    (tmp_path / "mush").touch()
    assert find_config("mush") == Path("mush")


def test_a_wheel_has_them_inside_the_package(tmp_path, monkeypatch):
    package = tmp_path / "jaxbq"
    (package / "configs").mkdir(parents=True)
    (package / "configs" / "one.toml").write_text(
        "# jaxbq run one\n# Shows: a\n# b. Expect: c.\n# Time: 1.5 s on two cores.\nseed = 0\n"
    )
    (tmp_path / "configs").mkdir()
    monkeypatch.setattr(experiments.resources, "files", lambda _: package)
    path = package / "configs" / "one.toml"
    assert bundled_configs() == {"one": (path, "1.5 s", "a b")}


def test_configs_lists_prints_and_refuses(capsys):
    assert main(["configs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (quick,) = (line for line in lines if line.startswith("quickstart "))
    assert "about 15 s" in quick
    assert "transpose" in quick
    assert len(lines) == 2 + len(bundled_configs())
    assert main(["configs", "smoke"]) == 0
    assert capsys.readouterr().out == (CONFIGS / "smoke.toml").read_text()
    assert main(["configs", "smok"]) == 2
    message = capsys.readouterr().err
    assert "smok: no such config" in message
    assert message.count("\n") == 1


def test_a_bundled_config_runs_by_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--set", "training.epochs=1", "--set", "network.hidden=[4]"]
    assert main(["train", "smoke", *small, "--save", "net.safetensors"]) == 0
    assert (tmp_path / "net.safetensors").exists()
    assert main(["run", "smokes"]) == 2
    said = capsys.readouterr().err
    assert "smokes: no such file or included config; did you mean smoke?" in said
    assert said.count("\n") == 1
    assert main(["run", "nothing-like-it"]) == 2
    assert "no such file; name a TOML file, or a config" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../jaxbq/options", "/etc/hostname"])
def test_no_other_file_is_printed(name, capsys):
    assert main(["configs", name]) == 2
    assert "no such config" in capsys.readouterr().err
