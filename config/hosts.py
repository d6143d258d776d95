"""Hosts in settings: whether they are on this machine."""

import ipaddress
import re


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches this address; no name but localhost is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_local_mongodb(uri: str) -> bool:
    """Whether the URI is empty, or every host in it is on this machine, by address or socket."""
    scheme, _, rest = uri.partition("://")
    members = re.split("[/?]", rest, maxsplit=1)[0].rpartition("@")[2].split(",")
    hosts = [re.sub(r":\d*$", "", member).strip("[]") for member in members if member]
    return scheme != "mongodb+srv" and all(
        is_loopback(host) or host.lower().endswith(".sock") for host in hosts
    )
