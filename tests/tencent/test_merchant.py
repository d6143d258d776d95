from collections.abc import Callable
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from config.sections import PaySettings
from tencent.merchant import MerchantClient
from tencent.service_client import ServiceClient

BuildService = Callable[..., ServiceClient]


def test_unreadable_private_key_raises_at_construction(
    make_service_client: BuildService, io_loop: IOLoop
) -> None:
    with pytest.raises(ValueError, match="RSA key"):
        MerchantClient(make_service_client("pay", "http://x"), PaySettings(private_key="no key"))


def test_fields_are_encrypted_with_the_public_key_before_a_certificate(
    merchant: dict[str, Any], make_service_client: BuildService, io_loop: IOLoop
) -> None:
    platform, service = merchant["platform"], make_service_client("pay", "http://x")
    certificates = {platform["certificate_serial"]: platform["certificate_pem"]}
    public = {
        "public_key_id": platform["public_key_id"],
        "public_key": platform["public_key_pem"],
    }
    private_key = merchant["merchant"]["private_key_pem"]
    for keys, serial in (
        ({}, platform["certificate_serial"]),
        (public, platform["public_key_id"]),
    ):
        pay = PaySettings(private_key=private_key, platform_keys=certificates, **keys)
        assert MerchantClient(service, pay).encryption_serial == serial
