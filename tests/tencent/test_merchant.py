from collections.abc import Callable
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tencent.merchant import MerchantClient
from tencent.service_client import ServiceClient

BuildService = Callable[..., ServiceClient]


def test_unreadable_private_key_raises_at_construction(
    make_service_client: BuildService, io_loop: IOLoop
) -> None:
    with pytest.raises(ValueError, match="RSA key"):
        MerchantClient(make_service_client("pay", "http://x"), "1", "2", "no key", {})


def test_fields_are_encrypted_with_the_public_key_before_a_certificate(
    merchant: dict[str, Any], make_service_client: BuildService, io_loop: IOLoop
) -> None:
    platform, service = merchant["platform"], make_service_client("pay", "http://x")
    certificate = {platform["certificate_serial"]: platform["certificate_pem"]}
    public = {platform["public_key_id"]: platform["public_key_pem"]}
    private_key = merchant["merchant"]["private_key_pem"]
    for keys, serial in (
        (certificate, platform["certificate_serial"]),
        ({**certificate, **public}, platform["public_key_id"]),
    ):
        client = MerchantClient(service, "1", "2", private_key, keys)
        assert client.encryption_serial == serial
