"""The nightly audit as a Dagster job with its schedule: `dagster dev -f deploy/dagster/audit_job.py`.

Its workers have `artifactscan` on the PATH. Code 3 (cut off) is tried again, which continues the audit; 1, 2 and 4 fail
without another try, as the same command would say the same, each with a message of its own.
"""

import subprocess
import tempfile

import dagster

COMMAND = ["artifactscan", "audit", "--corpus", "s3://bucket/videos/", "--store", "s3://bucket/audit/"]
RETRIES = 2
RETRY_AFTER_S = 60

FINAL = {
    1: "the policy says that the night fails: {verdict} Look at latest.html in the store.",
    2: "wrong usage or configuration, nothing was done: {error}",
    4: "the scorer itself moved, and the corpus was not scored: {verdict} Find what changed, or give --accept-scorer.",
}


@dagster.op(retry_policy=dagster.RetryPolicy(max_retries=RETRIES, delay=RETRY_AFTER_S))
def audit(context: dagster.OpExecutionContext) -> str:
    """Scores what is new and judges the night; returns the verdict."""
    code, verdict, error = run_audit(context)
    if code == 0:
        return verdict
    if code in FINAL:
        message = FINAL[code].format(verdict=verdict, error=error)
        raise dagster.Failure(message, metadata={"exit_code": code}, allow_retries=False)
    # 3, or a signal: the same command continues it.
    raise dagster.Failure(f"the audit was cut off with code {code}: {error}", metadata={"exit_code": code})


def run_audit(context: dagster.OpExecutionContext) -> tuple[int, str, str]:
    """Exit code, verdict (the first line of stdout) and the last line of stderr, which is logged as it comes."""
    error = "it said nothing."
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(COMMAND, stdout=said, stderr=subprocess.PIPE, text=True, errors="replace") as running,
    ):
        assert running.stderr is not None
        try:
            for line in running.stderr:
                context.log.info(line.rstrip())
                error = line.strip() or error
        except BaseException:  # somebody stops the run
            running.terminate()  # it stops in order, and can be continued
            raise
        code = running.wait()
        said.seek(0)
        lines = said.read().splitlines()
    context.log.info("\n".join(lines))
    return code, lines[0] if lines else "", error


@dagster.job(tags={"dagster/concurrency_key": "artifactscan-audit"})
def artifactscan_audit():
    """Every night: what is new, what it shows, and whether it got worse."""
    audit()


every_night = dagster.ScheduleDefinition(
    job=artifactscan_audit, cron_schedule="47 3 * * *", default_status=dagster.DefaultScheduleStatus.RUNNING
)
definitions = dagster.Definitions(jobs=[artifactscan_audit], schedules=[every_night])
