#!/bin/bash
# One run on several nodes of Slurm: sbatch --ntasks 3 scripts/slurm.sh CONFIG [arguments of jaxbq run]
# A worker in every task, a scheduler and the leader beside the first; see docs/scaling.md. Given
# again, also with another number of tasks, it does what is missing.
#SBATCH --job-name=jaxbq
#SBATCH --ntasks=2
#SBATCH --time=04:00:00
#SBATCH --output=jaxbq-%j.log
set -euo pipefail

if [ $# -eq 0 ]; then
  echo "usage: sbatch --ntasks N scripts/slurm.sh CONFIG [arguments of jaxbq run]" >&2
  exit 2
fi

# An environment that all nodes see; or one on each, made before.
source "${JAXBQ_VENV:-.venv}/bin/activate"

# Certificates for this job alone, since others may reach its nodes; in a folder that all nodes see.
umask 077
place=$(mktemp -d "$PWD/jaxbq-cluster-XXXXXX")
trap 'kill $(jobs -p) 2>/dev/null || true; wait || true; rm -rf "$place"' EXIT
openssl req -x509 -newkey rsa:2048 -nodes -days 7 -subj /CN=jaxbq \
  -keyout "$place/key.pem" -out "$place/cert.pem" 2>/dev/null
tls=(--protocol tls --tls-ca-file "$place/cert.pem" --tls-cert "$place/cert.pem" --tls-key "$place/key.pem")
export DASK_DISTRIBUTED__COMM__TLS__CA_FILE="$place/cert.pem"
export DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT="$place/cert.pem"
export DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY="$place/key.pem"

dask scheduler "${tls[@]}" --port 0 --no-dashboard --scheduler-file "$place/scheduler.json" &
scheduler=$!
until [ -s "$place/scheduler.json" ]; do
  kill -0 "$scheduler" # ends this script where the scheduler did not start
  sleep 0.2
done
srun --kill-on-bad-exit=0 dask worker "${tls[@]}" --scheduler-file "$place/scheduler.json" --nthreads 1 \
  --memory-limit 0 --no-nanny --no-dashboard --local-directory "$place" &
jaxbq run "$@" --scheduler "$place/scheduler.json"
