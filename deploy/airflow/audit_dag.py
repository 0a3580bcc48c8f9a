"""The nightly audit as an Airflow DAG: put this file into the DAG folder, with your corpus and store.

Its workers have `artifactscan` on the PATH. Code 3 (cut off) is tried again, which continues the audit; 1, 2 and 4 fail
without another try, as the same command would say the same, each with a message of its own for `on_failure_callback`.
"""

import subprocess
import tempfile
from datetime import datetime, timedelta

from airflow.exceptions import AirflowException, AirflowFailException
from airflow.sdk import dag, task

COMMAND = ["artifactscan", "audit", "--corpus", "s3://bucket/videos/", "--store", "s3://bucket/audit/"]
RETRIES = 2
RETRY_AFTER = timedelta(minutes=1)

FINAL = {
    1: "the policy says that the night fails: {verdict} Look at latest.html in the store.",
    2: "wrong usage or configuration, nothing was done: {error}",
    4: "the scorer itself moved, and the corpus was not scored: {verdict} Find what changed, or give --accept-scorer.",
}


@dag(schedule="47 3 * * *", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1, tags=["artifactscan"])
def artifactscan_audit():
    """Every night: what is new, what it shows, and whether it got worse."""

    @task(retries=RETRIES, retry_delay=RETRY_AFTER, execution_timeout=timedelta(hours=7))
    def audit() -> str:
        code, verdict, error = run_audit()
        if code == 0:
            return verdict
        if code in FINAL:
            raise AirflowFailException(FINAL[code].format(verdict=verdict, error=error))
        # 3, or a signal: the same command continues it.
        raise AirflowException(f"the audit was cut off with code {code}: {error}")

    audit()


def run_audit() -> tuple[int, str, str]:
    """Exit code, verdict (the first line of stdout) and the last line of stderr, which is logged as it comes."""
    error = "it said nothing."
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(COMMAND, stdout=said, stderr=subprocess.PIPE, text=True, errors="replace") as audit,
    ):
        assert audit.stderr is not None
        try:
            for line in audit.stderr:
                print(line, end="")
                error = line.strip() or error
        except BaseException:  # the time limit, or somebody stops the task
            audit.terminate()  # it stops in order, and can be continued
            raise
        code = audit.wait()
        said.seek(0)
        lines = said.read().splitlines()
    print(*lines, sep="\n")
    return code, lines[0] if lines else "", error


audit_dag = artifactscan_audit()
