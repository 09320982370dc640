"""What tests of `cachekit doctor` share: one run and what it found."""

import json


class Findings(list):
    """What one run found, with its exit code."""

    def of(self, check):
        return [finding for finding in self if finding["check"] == check]

    def not_ok(self):
        return [(finding["check"], finding["state"]) for finding in self if finding["state"] != "ok"]


def examine(tool, *words, **options):
    return findings_of(tool.run("doctor", "--json", *words, **options))


def findings_of(done):
    assert done.stderr == b"", done
    findings = Findings(json.loads(done.stdout))
    findings.code = done.returncode
    for finding in findings:
        assert list(finding) == ["check", "state", "text", "advice"]
        assert finding["state"] in ("ok", "warning", "problem") and finding["text"] != ""
        assert finding["state"] != "problem" or finding["advice"], finding
    return findings
