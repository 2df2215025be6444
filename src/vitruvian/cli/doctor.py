"""The command `doctor`: what this machine has."""

from __future__ import annotations

from vitruvian.cli.command import command, failed


@command(offline=False)
def doctor() -> None:
    """Check this machine, and say how to fix what is wrong."""
    from vitruvian.verbs.doctor import examine

    findings = list(examine())
    for finding in findings:
        print(f"{'ok ' if finding.good else 'BAD'} {finding.what}: {finding.found}")
        if not finding.good:
            print(f"    -> {finding.way_out}")
    failed(sum(not finding.good for finding in findings))
