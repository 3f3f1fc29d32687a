#!/bin/bash
# A study on several machines of a SLURM cluster:
#   sbatch --nodes 4 examples/slurm/study.sh SOURCE OUT [OPTIONS OF brainssl study]
# SOURCE and OUT lie on storage that all machines share. The same line goes on where a job ended.
#SBATCH --job-name=brainssl
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-task=1
#SBATCH --time=12:00:00
#SBATCH --output=brainssl-%j.log
set -eu

# Where brainssl is installed, with its extra: pip install 'brainssl[cluster]'
# source /shared/venvs/brainssl/bin/activate

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 10000))  # of this job alone, should two share a machine

# One cluster of all machines; the command runs on the first, and all of it ends with the command.
# Ray finds the GPUs itself. In the end it stops every Ray of yours on these machines.
srun ray symmetric-run \
  --address "$head:$port" \
  --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus "$SLURM_CPUS_PER_TASK" \
  -- \
  brainssl study "$@" --cluster auto
