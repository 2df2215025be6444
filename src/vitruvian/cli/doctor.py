"""The command `doctor`: diagnose the installation."""

from __future__ import annotations

from vitruvian.cli.command import command, failed


@command(offline=False)
def doctor() -> None:
    """Check the installation and suggest fixes."""
    from vitruvian.verbs.doctor import doctor as examine

    findings = examine()
    for finding in findings:
        print(f"{'ok ' if finding.good else 'BAD'} {finding.what}: {finding.found}")
        if not finding.good:
            print(f"    -> {finding.way_out}")
    failed(sum(not finding.good for finding in findings))
