from realtime.redis_channels import Shard, shards_from

PRIMARY, REPLICA = [b"10.0.0.1", 7000, b"id1", []], [b"10.0.0.2", 7001, b"id2", []]


def test_shards_are_the_primaries_with_all_their_slots() -> None:
    reply = [[0, 99, PRIMARY, REPLICA], [200, 16383, PRIMARY, REPLICA], [100, 199, [b"", 7002]]]
    assert shards_from(reply, "redis.example") == {
        Shard("10.0.0.1", 7000, frozenset({(0, 99), (200, 16383)})),
        Shard("redis.example", 7002, frozenset({(100, 199)})),
    }


def test_shard_url_keeps_login_and_options_of_the_cluster() -> None:
    shard = Shard("10.0.0.1", 7000, frozenset())
    assert shard.url("rediss://qlive:pass@any:6379/0?ssl_ca_certs=/ca.pem") == (
        "rediss://qlive:pass@10.0.0.1:7000/0?ssl_ca_certs=/ca.pem"
    )
    assert Shard("::1", 7000, frozenset()).url("redis://any") == "redis://[::1]:7000"


def test_channel_like_is_owned_by_the_shard() -> None:
    for first in range(0, 16384, 4096):
        shard = Shard("a", 1, frozenset({(first, first + 4095)}))
        assert shard.owns(shard.channel_like("q:process:1"))
