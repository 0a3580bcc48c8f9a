"""What is wrong with the AWS environment of this process, in words: endpoint, certificates, credential processes."""

import os
import ssl
from contextlib import suppress
from json import JSONDecodeError

import boto3
from botocore.exceptions import BotoCoreError, CredentialRetrievalError

from artifactscan.errors import UsageError
from artifactscan.messages.text import without_credentials
from artifactscan.messages.web_address import is_web_address

PROCESS = "custom-process"
"""boto3's name for the provider of credentials that runs the `credential_process` of a profile."""


def check_endpoint(url: str) -> None:
    """UsageError for an endpoint that is no URL; the message has nothing of what may be a user and password in it."""
    if not is_web_address(url):
        raise UsageError(_bad_endpoint(url))


def check_ca_bundle(session: boto3.Session, endpoint: str) -> None:
    """UsageError where the file that is to hold the trusted certificates cannot be used; looked at for https only."""
    named, path = ca_bundle(session)
    if not path or not endpoint.startswith("https:"):
        return
    try:
        ssl.create_default_context(cafile=path)
    except FileNotFoundError:
        reason = "does not exist"
    except ssl.SSLError:
        reason = "holds no certificate"
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
    else:
        return
    raise UsageError(
        f"{named} {path} {reason}; give the PEM file of the authority that signed the storage's certificate"
    )


def ca_bundle(session: boto3.Session | None = None) -> tuple[str, str | None]:
    """Which setting names the file of trusted certificates, and the file; None for the well-known authorities."""
    if path := os.environ.get("AWS_CA_BUNDLE"):
        return "AWS_CA_BUNDLE", path
    with suppress(BotoCoreError):
        if path := (session or boto3.Session())._session.get_config_variable("ca_bundle"):
            return "ca_bundle of the AWS profile", str(path)
    return "REQUESTS_CA_BUNDLE", os.environ.get("REQUESTS_CA_BUNDLE")


def process_profile() -> str:
    """The profile whose `credential_process` this process asks: the one in use, or the one that it names as source."""
    session = boto3.Session()
    name = session.profile_name
    profiles = session._session.full_config.get("profiles", {})
    seen = {name}
    while "credential_process" not in profiles.get(name, {}):
        source = profiles.get(name, {}).get("source_profile")
        if source is None or source in seen:
            break
        seen.add(name := source)
    return name


def explain_client_error(error: Exception) -> Exception:
    """Why no S3 client could be made: a credential process that answers nonsense, or else the endpoint or region."""
    try:
        boto3.Session().get_credentials()  # a session that has failed once says something else the second time
    except JSONDecodeError:
        return _process_error("it printed something that is not JSON")
    except UnicodeDecodeError:
        return _process_error("it printed something that is not UTF-8")
    except AttributeError:
        return _process_error("it printed JSON that is not an object")
    except OSError as reason:
        return _process_error(f"{reason.filename or 'it'} cannot be run: {reason.strerror}")
    except ValueError as reason:  # its command line, or the time at which its credentials expire
        return _process_error(str(reason))
    except BotoCoreError as reason:
        return reason
    text = str(error)
    endpoint = text.removeprefix("Invalid endpoint: ")
    if endpoint != text:
        return UsageError(_bad_endpoint(endpoint))
    return UsageError(f"no S3 client can be made ({without_credentials(text)}); check AWS_ENDPOINT_URL and AWS_REGION")


def _process_error(reason: str) -> CredentialRetrievalError:
    return CredentialRetrievalError(provider=PROCESS, error_msg=reason)


def _bad_endpoint(url: str) -> str:
    shown = f"…@{url.rpartition('@')[2]}" if "@" in url else url
    return (
        f"AWS_ENDPOINT_URL {shown} is not a URL; give http:// or https:// and the host, https://127.0.0.1:9000 say, "
        "in AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3 or the profile's endpoint_url"
    )
