"""Certificates of a run: cells, the table, and what cannot be certified."""

import csv

import numpy as np
import pytest
from test_experiment import Quiet, write_small

from jaxbq import certify, open_run, verify
from jaxbq.errors import JaxbqError
from jaxbq.experiment import RunFolder, load_config, run
from jaxbq.experiment.cells import Job, run_cell
from jaxbq.experiment.certificates import CertificateCell
from jaxbq.network.files import load_network

ASKED = ("certificate.nodes=3", "networks.seeds=2", "methods.1.restarts=1")


class Stops(Quiet):
    """A listener that stops a run after so many certificates."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def say(self, text):
        super().say(text)
        self.after -= "logit of" in text
        if not self.after:
            raise KeyboardInterrupt


def begin(place, *changes):
    """The small config with certificates, in a place."""
    return load_config(write_small(place), [*ASKED, *changes])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the small config was run with certificates."""
    return tmp_path_factory.mktemp("certified")


@pytest.fixture(scope="module")
def certified(place):
    """The run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return run(begin(place), place / "runs", Quiet())


def files(folder):
    paths = sorted(folder.certificates.rglob("*.npz"))
    return {str(p.relative_to(folder.path)): p.read_bytes() for p in paths}


def test_every_network_and_target_has_a_certificate(certified):
    assert list(files(certified)) == [
        f"certificates/{k}/{t:02d}.npz" for k in range(2) for t in range(3)
    ]
    table = open_run(certified.path).certificates
    assert table[["network", "target", "class"]].values.tolist() == [
        [str(k), t, t] for k in range(2) for t in range(3)
    ]
    network = load_network(certified.network(1))
    found = verify(certified.certificate(1, 2), network.model, network.params)
    row = table.iloc[5]
    assert (row["found"], row["proven"], row["parts"]) == (found.found, found.proven, found.leaves)
    assert row["sentence"] == found.sentence
    assert row["objective"] == "logit"
    assert np.isnan(row["radius"])
    # As asked in Python.
    again = certify(
        network.model, network.params, 2, space=network.space, seconds=np.inf, nodes=3, seed=0
    )
    assert (again.found, again.proven) == (found.found, found.proven)
    np.testing.assert_array_equal(certified.certified_image(1, 2, 30), found.image)


def test_methods_are_held_against_what_is_proven(certified):
    opened = open_run(certified.path)
    table = opened.reached.set_index(["network", "method", "target"]).sort_index()
    proven = opened.certificates.set_index(["network", "target"])["proven"]
    method = opened.methods[1]
    for network, target in proven.index:
        logits = opened.results(network)[1].logits[target, 0]
        row = table.loc[network, method, target]
        assert row["below_bound"] == proven[network, target] - logits[target] >= -1e-4
    below = [table["below_bound"].loc[k, method].mean() for k in "01"]
    assert opened.summary.loc[method, ("below_bound", "mean")] == pytest.approx(np.mean(below))
    # A share of a logit below 0 says nothing, nor does a mean of the others.
    shares = table["share_of_bound"].groupby("method")
    for name, low in table["reached"].groupby("method").min().items():
        assert shares.get_group(name).isna().all() == (low <= 0)


def test_a_run_that_was_stopped_ends_with_the_same_bytes(certified, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = begin(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(asked, tmp_path / "runs", Stops(2))
    folder = RunFolder.of(asked, tmp_path / "runs")
    assert len(files(folder)) == 2
    assert not (folder.path / "certificates.csv").exists()
    heard = Quiet()
    run(asked, tmp_path / "runs", heard)
    assert sum("logit of" in line for line in heard.lines) == 4
    assert files(folder) == files(certified)
    for name in ("certificates.csv", "scores.csv"):
        assert (folder.path / name).read_bytes() == (certified.path / name).read_bytes()
    # A certificate that is gone is made again, and so is the table; a damaged one is refused.
    table = (folder.path / "certificates.csv").read_bytes()
    folder.certificate(0, 1).unlink()
    run(asked, tmp_path / "runs", heard)
    assert files(folder) == files(certified)
    assert (folder.path / "certificates.csv").read_bytes() == table
    folder.certificate(0, 1).write_bytes(folder.certificate(0, 2).read_bytes()[:-9])
    folder.certificate(0, 0).unlink()
    with pytest.raises(JaxbqError, match=r"01\.npz: damaged .*; delete it and run again"):
        run(asked, tmp_path / "runs", heard)


def test_a_cell_finds_the_same_in_a_folder_of_its_own(certified, place, monkeypatch):
    monkeypatch.chdir(place)
    asked = begin(place)
    data = asked.data.load()
    cell = CertificateCell(1, 0, 0)
    job = Job(certified, asked, data, Quiet())
    given = {"networks/1.safetensors": certified.network(1).read_bytes()}
    assert [str(path.relative_to(certified.path)) for path in cell.inputs(job)] == list(given)
    found = run_cell(cell, asked, data, given, "there")
    assert found.files == {"certificates/1/00.npz": certified.certificate(1, 0).read_bytes()}
    assert found.said[0].startswith("network 1: logit of 0: Found")


def test_a_certificate_of_another_question_is_damaged(certified, place, monkeypatch):
    monkeypatch.chdir(place)
    data = begin(place).data.load()

    def verified(label, *changes):
        cell = CertificateCell(0, 1, label)
        return cell.verified(Job(certified, begin(place, *changes), data, Quiet()))

    assert verified(1).claim.target == 1
    ball = ("certificate.around=4", "certificate.radius=0.1")
    # The file of another class under this one's name; other objectives and sets.
    for label, *changes in ((2,), (1, "certificate.objective=margin"), (1, *ball)):
        with pytest.raises(JaxbqError, match=r"01\.npz: damaged \(it answers another question\)"):
            verified(label, *changes)


def test_near_an_image_and_of_targets_without_a_class(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = ("certificate.around=4", "certificate.radius=0.1", "certificate.objective=margin")
    targets = ("targets.classes=[1]", "targets.boundaries=[[0, 2]]", "networks.seeds=1")
    heard = Quiet()
    folder = run(begin(tmp_path, *changes, *targets), tmp_path / "runs", heard)
    assert list(files(folder)) == ["certificates/0/00.npz"]
    assert "targets that are no class have no certificates" in heard.lines
    opened = open_run(folder.path)
    assert opened.certificates["radius"].tolist() == [0.1]
    image = folder.certified_image(0, 0, 30)
    data = begin(tmp_path).data.load()
    assert 0 < np.abs(image - data.test_images[4]).max() <= 0.1
    # Images of methods are elsewhere.
    assert opened.reached.empty
    assert opened.summary["below_bound", "number"].tolist() == [0, 0]


def test_a_network_without_a_bound_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heard = Quiet()
    bare = ("network.hidden=[]", "methods=[{kind = 'ascent', steps = 20}]")
    folder = run(
        load_config(write_small(tmp_path), ["certificate.nodes=3", *bare]), tmp_path / "runs", heard
    )
    (line,) = (line for line in heard.lines if line.startswith("no certificates: "))
    assert "this one has none" in line
    assert not folder.certificates.exists()
    assert open_run(folder.path).certificates.empty
    with folder.scores.open(encoding="utf-8") as file:
        assert len(list(csv.reader(file))) > 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["certificate.around=3"], "around, a test image, and radius go together"),
        (["certificate.norm=l2"], "around, a test image, and radius go together"),
        (["certificate.radius=0.1"], "around, a test image, and radius go together"),
        (["certificate.around=30", "certificate.radius=0.1"], "30 is out of range.* 0 to 29"),
    ],
)
def test_mistakes_are_refused_before_anything_is_trained(tmp_path, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    heard = Quiet()
    with pytest.raises(JaxbqError, match=message):
        run(begin(tmp_path, *changes), tmp_path / "runs", heard)
    assert not heard.epochs


def test_options_have_their_ranges(tmp_path):
    for change, message in (
        ("certificate.gap=1.0", "gap"),
        ("certificate.nodes=0", "nodes"),
        ("certificate.objective=unit", "objective"),
        ("certificate.second=3", "seconds"),
    ):
        with pytest.raises(JaxbqError, match=message):
            begin(tmp_path, change)
