"""Every exception class of the AWS SDK, sorted once: what it means for the command that met it.

A test walks the classes that are installed and fails when one is here that is not sorted, so that a new release of
botocore adds no error that is waited on for days or called a fault of vmie.
"""

from __future__ import annotations

import enum

from vmie import catalogue
from vmie.errors import AwsRefused, VmieError


class Sort(enum.Enum):
    """What an exception of the SDK is about."""

    #: the network, an answer that was cut off: the same call may succeed later
    PASSING = "passing"
    #: the caller's credentials, or the profile they come from: nothing succeeds before they are renewed
    CREDENTIALS = "credentials"
    #: a setting of the SDK or an endpoint: no call succeeds before it is changed
    CONFIGURATION = "configuration"
    #: a parameter of this one call
    PARAMETER = "parameter"
    #: a mistake of the program that calls the SDK
    FAULT = "fault"


_NAMES: dict[Sort, str] = {
    Sort.PASSING: """
        CapacityNotAvailableError ChecksumError ConnectionClosedError ConnectionError ConnectTimeoutError
        EndpointConnectionError EndpointDiscoveryException EndpointDiscoveryRefreshFailed FlexibleChecksumError
        HTTPClientError IncompleteReadError ProxyConnectionError QueueShutdownError ReadTimeoutError ResponseParserError
        ResponseStreamingError RetriesExceededError S3CopyFailedError S3DownloadFailedError S3TransferFailedError
        S3UploadFailedError SSLError _RetriesExceededError""",
    Sort.CREDENTIALS: """
        ConfigNotFound ConfigParseError CredentialRetrievalError InfiniteLoopConfigError InvalidConfigError
        LoginAuthorizationCodeError LoginError LoginInsufficientPermissions LoginRefreshRequired LoginTokenLoadError
        MetadataRetrievalError NoAuthTokenError NoCredentialsError PartialCredentialsError ProfileNotFound
        RefreshWithMFAUnsupportedError SSOError SSOTokenLoadError TokenRetrievalError UnauthorizedSSOTokenError
        UnknownCredentialError UnknownTokenProviderError BadIMDSRequestError""",
    Sort.CONFIGURATION: """
        BaseEndpointResolverError EndpointDiscoveryRequired EndpointProviderError EndpointResolutionError
        EndpointVariantError InvalidChecksumConfigError InvalidCrtTransferConfigError InvalidDefaultsMode
        InvalidEndpointConfigurationError InvalidEndpointDiscoveryConfigurationError InvalidIMDSEndpointError
        InvalidIMDSEndpointModeError InvalidMaxRetryAttemptsError InvalidProxiesConfigError
        InvalidRetryConfigurationError InvalidRetryModeError InvalidS3AddressingStyleError
        InvalidS3UsEast1RegionalEndpointConfigError InvalidSTSRegionalEndpointsConfigError MD5UnavailableError
        MissingDependencyException NoRegionError ServiceNotInRegionError UnknownEndpointError UnknownFIPSEndpointError
        UnknownRegionError UnknownSignatureVersionError UnsupportedS3AccesspointConfigurationError
        UnsupportedS3ConfigurationError UnsupportedS3ControlConfigurationError UnsupportedSignatureVersionError""",
    Sort.PARAMETER: """
        AliasConflictParameterError InvalidArnException InvalidDNSNameError InvalidHostLabelError InvalidRegionError
        MissingParametersError ParamValidationError RangeError S3ValidationError UnknownKeyError UnknownParameterError
        UnsupportedOutpostResourceError UnsupportedS3ArnError UnsupportedS3ControlArnError ValidationError""",
    Sort.FAULT: """
        ApiVersionNotFoundError AwsChunkedWrapperError BotoCoreError Boto3Error DataNotFoundError
        DynamoDBNeedsConditionError DynamoDBNeedsKeyConditionError DynamoDBOperationNotSupportedError EventStreamError
        FatalError InvalidExpressionError InvalidShapeError InvalidShapeReferenceError InvalidSubscriberMethodError
        MissingServiceIdError NoInitialResponseError NoResourcesAvailable NoShapeFoundError
        NoVersionFound OperationNotFoundError OperationNotPageableError PaginationError ParserError DuplicateHeader
        InvalidHeadersLength InvalidPayloadLength ChecksumMismatch RequestExceededException ResourceLoadException
        ResourceNotExistsError StubAssertionError StubResponseError TransferNotDoneError UndefinedModelAttributeError
        UnknownAPIVersionError UnknownClientMethodError UnknownEndpointResolutionBuiltInName UnknownServiceError
        UnknownServiceStyle UnseekableStreamError UnStubbedResponseError UnsupportedServiceProtocolsError
        WaiterConfigError WaiterError""",
}
SORTED = {name: sort for sort, names in _NAMES.items() for name in names.split()}

#: entries of the catalogue that are about who asks, not about what is asked for
_CALLER = ("credentials-", "clock-skew")
#: our own codes for the same
_OURS = ("NoCredentials", "CredentialsExpire", "OtherAccount")


def sort_of(error: BaseException) -> Sort:
    """How an exception of the SDK is sorted: by its class, else by the nearest one that it is made from."""
    for kind in type(error).__mro__:
        if kind.__name__ in SORTED and kind.__module__.split(".")[0] in ("boto3", "botocore", "s3transfer"):
            return SORTED[kind.__name__]
    return Sort.FAULT


def about_caller(error: VmieError) -> str:
    """ "" when another call by the same caller may succeed; else what is wrong about the caller.

    That is an entry of the catalogue ("credentials-expired", "clock-skew" …), or else `error.code`: credentials,
    a profile, or a setting of the SDK, which meet every call alike.
    """
    if error.code in _OURS or SORTED.get(error.code) in (Sort.CREDENTIALS, Sort.CONFIGURATION):
        return error.code
    found = catalogue.explain(error.message, error.code).id if isinstance(error, AwsRefused) else ""
    return found if found.startswith(_CALLER) else ""
