"""How clients are made: each set up alike, and each call reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vmie import events
from vmie.aws import client_config
from vmie.aws.errors import refusals
from vmie.poll import Clock

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config


class CallReporter:
    """Reports every call: which, how it ended, its request id, how long it took; never its parameters."""

    def __init__(self, reporter: events.Reporter, clock: Clock) -> None:
        self._reporter = reporter
        self._clock = clock

    def listen(self, client: Any) -> None:
        """Report all calls of a boto client from now on."""
        client.meta.events.register("request-created", self._asked)
        client.meta.events.register("response-received", self._answered)

    def _asked(self, request: Any, **_: Any) -> None:
        request.context["vmie_asked"] = self._clock.now()

    def _answered(
        self,
        event_name: str,
        context: dict[str, Any],
        parsed_response: dict[str, Any] | None = None,
        exception: BaseException | None = None,
        **_kwargs: Any,
    ) -> None:
        service, operation = event_name.split(".", 2)[1:]
        now = self._clock.now()
        answer = parsed_response or {}
        metadata = answer.get("ResponseMetadata", {})
        self._reporter(
            events.AwsCall(
                service=service,
                operation=operation,
                status=int(metadata.get("HTTPStatusCode", 0)),
                request_id=str(metadata.get("RequestId", "")),
                seconds=max(0.0, (now - context.get("vmie_asked", now)).total_seconds()),
                # The exception's text would hold the URL, and with it perhaps a signature.
                error=type(exception).__name__ if exception else str(answer.get("Error", {}).get("Code", "")),
            )
        )


class ClientFactory:
    """Makes the clients of one session."""

    def __init__(self, session: boto3.Session, *, endpoint_url: str | None, stall: float, calls: CallReporter) -> None:
        self._session = session
        self._endpoint_url = endpoint_url
        self._stall = stall
        self._calls = calls

    def make(
        self,
        service: str,
        region: str,
        *,
        once: bool = False,
        tuned: Config | None = None,
        s3: Mapping[str, Any] | None = None,
    ) -> Any:
        """A new client of `service`; `tuned` and `s3` go over the usual settings. Raises UsageError, AwsRefused.

        With `once` each of its calls is tried once, whatever the user says of attempts.
        """
        with refusals("reading the AWS configuration"):
            retries = client_config.retries_of(self._session)
            config = client_config.config_of(
                service,
                endpoint_url=self._endpoint_url,
                stall=self._stall,
                retries=replace(retries, attempts=1) if once else retries,
            )
        if tuned is not None:
            config = config.merge(tuned)
        if s3 is not None:
            config = client_config.with_s3(config, s3)
        made = self._connected(service, region, config)
        if service == "s3" and not self._endpoint_url and not client_config.is_aws(made.meta.endpoint_url):
            # AWS_ENDPOINT_URL_S3 or the profile named a stand-in: see `config_of` for the style.
            made = self._connected(service, region, client_config.with_s3(config, {"addressing_style": "path"}))
        self._calls.listen(made)
        return made

    def _connected(self, service: str, region: str, config: Config) -> Any:
        with refusals(f"connecting to {service}"), client_config.sound_endpoint(service):
            made = self._session.client(
                service,  # type: ignore[call-overload] # its overloads are one per service name
                region_name=region,
                endpoint_url=self._endpoint_url,
                config=config,
            )
            client_config.expect_web(made.meta.endpoint_url)
            return made
