"""What the description of the service promises, held against made requests by the thousand."""

from contextlib import ExitStack

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from conftest import share
from made_attendance import rules
from served import Served, made_calibration, made_recognizer, served

from visavis.attendance.attendance import keep_rules
from visavis.serve.rest.examples import EXAMPLES

CASES, LEAST_CASES = 20_000, 5_000  # in make prove; always


@pytest.fixture(scope="module")
def generous(cache, tmp_path_factory) -> Served:
    """A service for whatever comes, which gives embeddings too."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("schema") / "gallery"
        settings = {"embeddings": True}
        site = stack.enter_context(served(made_recognizer(made_calibration()), folder, **settings))
        for number in (1, 2, 3, 4):
            site.gallery.add_person(f"Person {number}", external_id=f"E-{number}")
        keep_rules(site.gallery, rules())
        yield site


def test_every_route_is_described_with_its_errors(site):
    document = site.http.get("/v1/openapi.json").json()
    for path, methods in document["paths"].items():
        if not path.startswith("/v1/") or path.endswith("openapi.json"):
            continue
        for method, route in methods.items():
            assert route["description"], path
            assert {"401", "429", "503"} <= set(route["responses"]), path
            for status, response in route["responses"].items():
                if path.endswith("export") and status == "200":
                    assert set(response["content"]) >= {"text/csv", "application/json"}
                    continue
                content = response["content"]["application/json"]
                assert "$ref" in content["schema"], (path, method, status)
                assert content["example"], (path, method, status)
            if "415" in route["responses"]:
                content = route["requestBody"]["content"]
                form = content.get("multipart/form-data")
                assert form["schema"]["properties"] if form else content["application/json"], path


@pytest.mark.parametrize("shape", EXAMPLES, ids=lambda shape: shape.__name__)
def test_an_example_is_of_its_shape(shape):
    example = shape.model_validate(EXAMPLES[shape], strict=True, extra="forbid")
    assert example.model_dump(mode="json", exclude_unset=True, by_alias=True) == EXAMPLES[shape]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_made_request_is_answered_with_a_fault_of_ours(generous):
    requests = pytest.importorskip("requests")
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.specs.openapi import checks

    CHECKS = [
        checks.response_schema_conformance,
        checks.status_code_conformance,
        checks.content_type_conformance,
    ]
    document = generous.http.get("/v1/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    operations = [result.ok() for result in schema.get_all_operations()]
    each = max(LEAST_CASES, share(CASES)) // len(operations)
    headers, answered, session = generous.headers(), [], requests.Session()

    def ask(case) -> None:
        answer = case.call(base_url=str(generous.http.base_url), headers=headers, session=session)
        answered.append((case.method, case.path, answer.status_code))
        assert answer.status_code < 500, (case.as_curl_command(), answer.text)
        if answer.status_code != 400:  # a request that is no HTTP at all has no route
            case.validate_response(answer, checks=CHECKS)

    for operation in operations:
        if operation.path == "/v1/keys/{key}":
            continue  # it may revoke the key that is used here
        strategy = operation.as_strategy()
        asked = settings(
            max_examples=each,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        asked(given(case=strategy)(ask))()
    assert len(answered) >= 0.5 * each * len(operations)
