import base64

from devtools.simulator.codes import CODE_SECONDS, LoginCodes, openid_of


def test_openid_depends_on_the_name_only():
    assert openid_of("alice") == "o5k46YwBMpoi56a1HiLqbJMPzxyB"
    assert len({openid_of(name) for name in ("alice", "Alice", "bob", "小红")}) == 4
    assert all(len(openid_of(name)) == 28 for name in ("alice", "小红"))


def test_each_code_has_its_own_session_key(clock):
    codes = LoginCodes(clock)
    first, second = codes.issue("wx1", "alice", 0), codes.issue("wx1", "alice", 0)
    assert first.text != second.text
    assert first.session_key != second.session_key
    assert len(base64.b64decode(first.session_key)) == 16


def test_code_is_valid_for_its_app_until_it_expires(clock):
    codes = LoginCodes(clock)
    code = codes.issue("wx1", "alice", 0)
    assert codes.find(code.text, "wx2") is None
    clock.now += CODE_SECONDS - 1
    assert codes.find(code.text, "wx1") is code
    clock.now += 1
    assert codes.find(code.text, "wx1") is None
    assert codes._codes == {}
