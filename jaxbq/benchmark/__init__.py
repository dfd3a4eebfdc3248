"""Measuring jaxbq against what a user would pick instead: options → record."""

from .options import PARTS as PARTS
from .options import Benchmark as Benchmark
from .reading import load_benchmark as load_benchmark
from .runner import folder_of as folder_of
from .runner import run_benchmark as run_benchmark
from .tables import table_of as table_of
