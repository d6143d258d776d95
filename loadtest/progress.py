"""One line about a load test in progress."""

from collections.abc import Sequence

from loadtest.measurements import Measurements, Sample, percentile
from loadtest.options import LoadOptions
from loadtest.participant import Participant

RECENT_SECONDS = 5.0


def progress_line(
    measurements: Measurements, options: LoadOptions, members: Sequence[Participant]
) -> str:
    """Percentiles are of the last seconds."""
    connected = sum(member.opened.is_set() for member in members)
    answers = [sample for samples in measurements.answers.values() for sample in samples]
    last = measurements.to_last_member()
    failed = sum(n for (_, status, _), n in measurements.statuses.items() if status != 200)
    return (
        f"{measurements.seconds:.0f} of {options.seconds:.0f} s: {connected} of {len(members)} "
        f"connected, {len(answers)} answers (p99 {_recent(measurements, answers)}), "
        f"{len(last)} events (p99 to the last member {_recent(measurements, last)}), "
        f"{len(measurements.reconnects)} reconnects, {failed} failures"
    )


def _recent(measurements: Measurements, samples: Sequence[Sample]) -> str:
    since = measurements.seconds - RECENT_SECONDS
    recent = sorted(it.seconds for it in samples if it.at >= since)
    return f"{percentile(recent, 0.99) * 1000:.0f} ms"
