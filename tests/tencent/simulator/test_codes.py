import base64

from tencent.simulator.codes import CODE_SECONDS, Codes, openid_of


def test_the_same_name_is_the_same_openid_for_ever():
    assert openid_of("alice") == "o5k46YwBMpoi56a1HiLqbJMPzxyB"
    assert len({openid_of(name) for name in ("alice", "Alice", "bob", "小红")}) == 4
    assert all(len(openid_of(name)) == 28 for name in ("alice", "小红"))


def test_every_code_has_a_session_key_of_its_own(clock):
    codes = Codes(clock)
    first, second = codes.issue("wx1", "alice", 0), codes.issue("wx1", "alice", 0)
    assert first.text != second.text
    assert first.session_key != second.session_key
    assert len(base64.b64decode(first.session_key)) == 16


def test_a_code_is_found_for_its_app_until_it_is_too_old(clock):
    codes = Codes(clock)
    code = codes.issue("wx1", "alice", 0)
    assert codes.find(code.text, "wx2") is None
    clock.now += CODE_SECONDS - 1
    assert codes.find(code.text, "wx1") is code
    clock.now += 1
    assert codes.find(code.text, "wx1") is None
    assert codes._codes == {}
