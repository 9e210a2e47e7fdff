#!/bin/sh
# Trains on two machines of a SLURM cluster, one process each with all its GPUs: sbatch configs/cluster/slurm.sh CONFIG RUN_DIR
# The same command goes on after the last checkpoint interval, also with another number of nodes.
#SBATCH --job-name=nlp-suite
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
export KERAS_BACKEND=jax
export NLP_SUITE_START_SECONDS=300  # nodes may read the packages from slow storage; srun ends those that wait in vain
# JAX gives a task of SLURM one GPU, by its number on the node; this gives it all of them
if [ -n "$SLURM_GPUS_ON_NODE" ]; then
    JAX_LOCAL_DEVICE_IDS=$(seq -s, 0 $((SLURM_GPUS_ON_NODE - 1)))
    export JAX_LOCAL_DEVICE_IDS
fi
srun --kill-on-bad-exit=1 nlp-suite train "$1" --run-dir "$2" --set training.distribution=data_parallel
