# Sourced by the job scripts: one task of the main job per slot. Before the time limit (--signal=B:USR1@...) every
# task finishes its step, rank 0 writes a checkpoint, and the job goes back into the queue; so it does after the
# failure of a node. Started again, it goes on from its last checkpoint by itself.
cd "${SLURM_SUBMIT_DIR:?submit this with sbatch from the root of the repository}" || exit 2
MASTER_ADDR=${MASTER_ADDR:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}
MASTER_PORT=${MASTER_PORT:-$((20000 + SLURM_JOB_ID % 20000))}
export MASTER_ADDR MASTER_PORT
echo "job $SLURM_JOB_ID on $SLURM_JOB_NODELIST, start number $((${SLURM_RESTART_COUNT:-0} + 1))"

limit=0
trap 'limit=1; kill -USR1 "$step" 2>/dev/null' USR1
srun --kill-on-bad-exit=1 bash slurm/task.sh "$@" &
step=$!
wait "$step"
code=$?
# The signal ends the first wait, not the step.
while kill -0 "$step" 2>/dev/null; do
    wait "$step"
    code=$?
done
# 138 = 128 + SIGUSR1: stopped in good order, or before there was anything to keep.
if [ "$limit" = 1 ] && [ "$code" = 138 ]; then
    echo "job $SLURM_JOB_ID: the time limit is near; back into the queue"
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$code"
