"""Coverage-guided fuzzing of every reader of untrusted files, by Atheris.

    python scripts/fuzz.py              # every reader, 2,000 inputs each
    python scripts/fuzz.py idx onnx --runs 100000

An input fails when anything but a JaxbqError comes of it, when it takes more than 5 seconds, or
when the process passes 1 GB. It is then kept in the folder that --keep names, and the exit code
is 1. Needs the extra `fuzz`.
"""

import argparse
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S, MEMORY_MB = 5, 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", help="by default all")
    parser.add_argument("--runs", type=int, default=2000, help="inputs each (default: 2000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", default="fuzz-failures", help="folder for inputs that fail")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        fuzz(chosen.readers[0], chosen.runs, chosen.seed, Path(chosen.keep))
    sys.path.insert(0, str(ROOT / "tests"))
    import hostile

    failed = []
    for name in chosen.readers or hostile.READERS:
        if name not in hostile.READERS:
            parser.error(f"no reader {name!r}; known: {', '.join(hostile.READERS)}")
        # A process each: a crash of a C library ends only its own.
        command = [sys.executable, __file__, name, "--one", "--runs", str(chosen.runs)]
        command += ["--seed", str(chosen.seed), "--keep", chosen.keep]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        lines = done.stderr.splitlines()
        told = dict(line.removeprefix("stat::").split(":") for line in lines if "stat::" in line)
        print(
            f"{name}: {'FAILED' if done.returncode else 'passed'}, "
            f"{told.get('number_of_executed_units', '?').strip()} inputs, slowest "
            f"{told.get('slowest_unit_time_sec', '?').strip()} s, most memory "
            f"{told.get('peak_rss_mb', '?').strip()} MB",
            flush=True,
        )
        if done.returncode:
            failed.append(name)
            # What is left without the fuzzer's account of its progress is the fault.
            print(f"exit code {done.returncode}")
            told = [line for line in (done.stdout.splitlines() + lines) if line[:1] not in "#s"]
            print("\n".join(told[-40:]))
    return 1 if failed else 0


def fuzz(name: str, runs: int, seed: int, keep: Path) -> None:
    """Fuzz one reader in this process; does not return."""
    import atheris

    sys.path.insert(0, str(ROOT / "tests"))
    with atheris.instrument_imports(include=["jaxbq", "zipfile", "numpy.lib", "PIL", "tomllib"]):
        import hostile

    reader = hostile.READERS[name]
    warnings.simplefilter("ignore")
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="jaxbq-fuzz-") as place:
        corpus, work = Path(place) / "corpus", Path(place) / "work"
        corpus.mkdir()
        work.mkdir()
        for number, content in enumerate(reader.seeds()):
            (corpus / str(number)).write_bytes(content)
        arguments = [
            "fuzz",
            str(corpus),
            f"-runs={runs}",
            f"-seed={seed}",
            f"-timeout={TIMEOUT_S}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={keep}/{name}-",
            "-max_len=8192",
            "-print_final_stats=1",
        ]
        atheris.Setup(arguments, lambda content: hostile.tried(reader, content, work))
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
