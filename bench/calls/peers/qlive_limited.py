"""QLive with all rate limits on, so high that no request is refused."""

import sys

import uvloop

from bench.calls.peers import qlive
from devtools.no_limits import NO_LIMITS

HIGH = "1000000/1000000"

if __name__ == "__main__":
    uvloop.run(qlive.main(*sys.argv[1:], limits=dict.fromkeys(NO_LIMITS, HIGH)))
