"""Grades as other programs want them. All are functions of the documents, in the order of the submissions' names."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

from rvhv.errors import ConfigError
from rvhv.grade.course import Document
from rvhv.grade.lab import Lab


def as_json(lab: Lab, documents: Sequence[Document]) -> str:
    return json.dumps({"lab": lab.number, "name": lab.name, "of": lab.points, "submissions": documents}, indent=1) + "\n"


def as_csv(lab: Lab, documents: Sequence[Document]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [check.name for check in lab.checks]
    writer.writerow(["submission", "points", "of", *names, "refused"])
    for document in documents:
        points = {check["check"]: check["points"] for check in document["checks"]}
        row = [_cell(document["submission"]), document["points"], document["of"], *(points.get(name, 0) for name in names)]
        writer.writerow([*row, _cell(document["refused"])])
    return out.getvalue()


def _cell(text: str) -> str:
    """What a spreadsheet would compute begins with a quote instead."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def as_junit(lab: Lab, documents: Sequence[Document]) -> str:
    suites = ElementTree.Element("testsuites", name=f"lab {lab.number}")
    for document in documents:
        lost = [check for check in document["checks"] if check["points"] < check["of"]]
        count = len(document["checks"]) or 1
        suite = ElementTree.SubElement(
            suites, "testsuite", name=_xml(document["submission"]), tests=str(count),
            failures=str(len(lost) if document["checks"] else 1), errors="0",
        )  # fmt: skip
        for check in document["checks"] or [{"check": "submission", "points": 0, "of": 1, "title": "", "expected": ""}]:
            case = ElementTree.SubElement(suite, "testcase", classname=f"lab{lab.number}", name=check["check"])
            if check["points"] < check["of"]:
                failure = ElementTree.SubElement(case, "failure", message=_xml(check.get("happened") or document["refused"]))
                failure.text = _xml(message(check) if document["checks"] else document["refused"])
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def as_gradescope(lab: Lab, documents: Sequence[Document]) -> str:
    """results.json, of one submission."""
    document = _only(documents, "gradescope")
    tests = [
        {
            "name": check["title"],
            "score": check["points"],
            "max_score": check["of"],
            "status": "passed" if check["points"] == check["of"] else "failed",
            "output": "" if check["points"] == check["of"] else message(check),
        }
        for check in document["checks"]
    ]
    output = document["refused"] and f"Nothing was graded: {document['refused']}"
    result = {"score": document["points"], "output": output, "output_format": "text", "tests": tests}
    return json.dumps(result, indent=1) + "\n"


def as_classroom(lab: Lab, documents: Sequence[Document]) -> str:
    """What GitHub Classroom's autograding-grading-reporter takes from a runner: JSON in base 64, of one submission."""
    document = _only(documents, "classroom")
    tests = [
        {
            "name": check["title"],
            "status": "pass" if check["points"] == check["of"] else "fail",
            "score": check["points"],
            "message": "" if check["points"] == check["of"] else message(check),
            "test_code": f"rvhv lab check ({check['check']})",
            "filename": "",
            "line_no": 0,
            "duration": 0,
        }
        for check in document["checks"]
    ] or [{"name": "submission", "status": "error", "score": 0, "message": document["refused"], "test_code": "", "filename": "",
           "line_no": 0, "duration": 0}]  # fmt: skip
    passed = document["points"] == document["of"]
    status = "pass" if passed else "fail" if document["checks"] else "error"
    result = {"version": 1, "status": status, "max_score": document["of"], "tests": tests}
    return base64.b64encode(json.dumps(result).encode()).decode() + "\n"


def _only(documents: Sequence[Document], name: str) -> Document:
    if len(documents) != 1:
        raise ConfigError(f"--format {name} is for one submission, and there are {len(documents)}")
    return documents[0]


def message(check: Document) -> str:
    """What a student reads about a check that failed."""
    lines = [f"expected: {check['expected']}", f"happened: {check['happened']}"]
    lines += [f"   where: {place}" for place in check.get("places", ())]
    if check.get("output"):
        lines += ["printed:", *(f"   | {line}" for line in check["output"].splitlines())]
    return "\n".join(lines)


FORMATS: dict[str, Callable[[Lab, Sequence[Document]], str]] = {
    "json": as_json,
    "csv": as_csv,
    "junit": as_junit,
    "gradescope": as_gradescope,
    "classroom": as_classroom,
}
