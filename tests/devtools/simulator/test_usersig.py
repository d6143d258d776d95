import base64
import json
import zlib

from hypothesis import given
from hypothesis import strategies as st
from TLSSigAPIv2 import TLSSigAPIv2

from devtools.simulator.im_access import usersig_error


def test_known_signatures_of_all_libraries_verify(vectors):
    known = vectors("usersig")
    signatures = [
        (case["identifier"], case[library])
        for case in known["cases"]
        for library in ("usersig_python_1_1", "usersig_npm_1_0_2")
        if case[library]
    ]
    assert len(signatures) == 7
    for identifier, usersig in signatures:
        for now in (known["time"], known["time"] + known["expire"]):
            assert usersig_error(usersig, known["key"], identifier, known["sdkappid"], now) == 0


def test_invalid_signatures_get_the_error_code_of_tencent(vectors):
    known = vectors("usersig")
    assert len(known["negative"]) == 7
    for case in known["negative"]:
        identifier = case.get("as_identifier", "xiaojun")
        app = case.get("as_sdkappid", known["sdkappid"])
        code = usersig_error(case["usersig"], known["key"], identifier, app, case["now"])
        assert code == case["im_error"], case["name"]


def test_own_signature_verifies():
    usersig = TLSSigAPIv2(1400000000, "key").gen_sig("12345678", 60)
    ticket = json.loads(
        zlib.decompress(base64.b64decode(usersig.translate(str.maketrans("*-_", "+/="))))
    )
    now = ticket["TLS.time"]
    assert usersig_error(usersig, "key", "12345678", 1400000000, now + 60) == 0
    assert usersig_error(usersig, "key", "12345678", 1400000000, now + 61) == 70001
    assert usersig_error(usersig, "kez", "12345678", 1400000000, now) == 70009


def packed(content: object) -> str:
    raw = base64.b64encode(zlib.compress(json.dumps(content).encode())).decode()
    return raw.translate(str.maketrans("+/=", "*-_"))


def test_ticket_of_another_shape_is_invalid():
    valid = {
        "TLS.identifier": "a",
        "TLS.sdkappid": 1,
        "TLS.time": 1,
        "TLS.expire": 1,
        "TLS.sig": "",
    }
    assert usersig_error(packed(valid), "key", "a", 1, 1) == 70009
    for other in ([], "text", {}):
        assert usersig_error(packed(other), "key", "a", 1, 1) == 70003


@given(st.text(min_size=1))
def test_arbitrary_text_raises_no_exception(text):
    assert usersig_error(text, "key", "a", 1, 1) in (70003, 70009)
