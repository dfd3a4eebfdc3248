#!/bin/bash
# One experiment on several nodes: sbatch --nodes 4 scripts/slurm.sh CONFIG [arguments of jaxbq run]
# See docs/scaling.md. Given again, also with another number of nodes, it finishes what is missing.
#SBATCH --job-name=jaxbq
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=04:00:00
#SBATCH --output=jaxbq-%j.log
# With GPUs, all of a node for its one task:
##SBATCH --gres=gpu:4
set -euo pipefail

if [ $# -eq 0 ]; then
  echo "usage: sbatch --nodes N scripts/slurm.sh CONFIG [arguments of jaxbq run]" >&2
  exit 2
fi

# An environment that all nodes see; or one on each, made before.
source "${JAXBQ_VENV:-.venv}/bin/activate"

# srun starts one task a node; jaxbq notices that and finds the others. Process 0, on the first node,
# writes the run folder. If one is lost the others end by themselves within a minute.
srun --kill-on-bad-exit=0 --label jaxbq run "$@"
