# One process of the main job, told by Slurm which it is; PyTorch and Accelerate read these variables.
# The process takes the task's place (exec), so that Slurm's signals reach it and no launcher in between.
export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS
export LOCAL_WORLD_SIZE=$((SLURM_NTASKS / SLURM_JOB_NUM_NODES))
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
exec "${PYTHON:-.venv/bin/python}" sslhsi/pretrain.py "$@"
