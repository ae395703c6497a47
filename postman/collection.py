"""A Postman collection made of OpenAPI documents: a request for every operation, with scripts that check the answer."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postman.walk import IDS, STEPS, VARIABLES, Extra, Step

Json = dict[str, Any]
COLLECTION = Path(__file__).parent / "contender.postman_collection.json"
FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
ADMIN_TOKEN = "admin_token"  # noqa: S105 (the name of a variable)
_METHODS = ("get", "post", "put", "patch", "delete")
_ABOUT = (
    "Every endpoint of Contender's three services, in an order in which they work. Start the services with `make up`, "
    "and set the variable `admin_token` to what is in `.contender/admin-token`. Run twice it does no harm: rows are "
    "learned, and no alias moves. Written by `make postman` from the services' OpenAPI documents."
)


@dataclass(frozen=True)
class Service:
    """One service: the name of its folder, the address where it listens by default, its document."""

    name: str
    url: str
    document: Json


def collection(services: Sequence[Service]) -> Json:
    """The collection, in format 2.1: a folder a service, in it a folder a tag."""
    urls = {f"{service.name}_url": service.url for service in services}
    variables = {**urls, ADMIN_TOKEN: "", **VARIABLES}
    return {
        "info": {"name": "Contender", "description": _ABOUT, "schema": FORMAT},
        "item": [_folder(service) for service in services],
        "variable": [
            {"key": key, "value": value if isinstance(value, str) else json.dumps(value)}
            for key, value in variables.items()
        ],
    }


def written(services: Sequence[Service]) -> str:
    """The text of the file COLLECTION."""
    return json.dumps(collection(services), indent=2, ensure_ascii=False) + "\n"


def _folder(service: Service) -> Json:
    document = service.document
    tags: dict[str, Json] = {
        tag["name"]: {"name": tag["name"], "description": tag["description"], "item": []} for tag in document["tags"]
    }
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if method in operations:
                operation = _Operation(service, method.upper(), path, operations[method])
                tags[operations[method]["tags"][0]]["item"] += operation.requests()
    return {"name": service.name, "description": document["info"]["description"], "item": list(tags.values())}


@dataclass(frozen=True)
class _Operation:
    service: Service
    method: str
    path: str
    operation: Json

    def requests(self) -> Iterator[Json]:
        """A request for each example of the operation, then the extra ones of its step."""
        step = STEPS.get((self.method, self.path), Step())
        statuses = [status for status in self.operation["responses"] if status.startswith("2")]
        bodies = self._bodies()
        for name, body in bodies.items():
            title = self.operation["summary"] + (f": {name[:1].lower()}{name[1:]}" if len(bodies) > 1 else "")
            yield self._request(title, body, {}, statuses, step)
        for extra in step.extras:
            yield self._extra(extra)

    def _extra(self, extra: Extra) -> Json:
        title = f"{self.operation['summary']}: {extra.name[:1].lower()}{extra.name[1:]}"
        return self._request(title, extra.body, extra.query, [str(extra.status)], Step())

    def _request(self, name: str, body: Any, query: Mapping[str, str], statuses: Sequence[str], step: Step) -> Json:
        typed = "" if body is None else _written(body, step)
        request: Json = {"method": self.method, "header": [], "url": self._url(query)}
        if "description" in self.operation:
            request["description"] = self.operation["description"]
        if "security" in self.operation:
            bearer = {"key": "token", "value": f"{{{{{ADMIN_TOKEN}}}}}", "type": "string"}
            request["auth"] = {"type": "bearer", "bearer": [bearer]}
        if typed:
            request["header"].append({"key": "Content-Type", "value": "application/json"})
            language = {"raw": {"language": "json"}}
            request["body"] = {"mode": "raw", "raw": typed, "options": language}
        events = []
        for key, value in step.prepares.items():
            if f"{{{{{key}}}}}" in typed:
                events.append(_event("prerequest", [_set_variable(key, value)]))
        events.append(_event("test", [*self._checks(statuses), *self._stores(step)]))
        return {"name": name, "event": events, "request": request}

    def _url(self, query: Mapping[str, str]) -> Json:
        parameters = self.operation.get("parameters", [])
        host = f"{{{{{self.service.name}_url}}}}"
        parts = [f":{part[1:-1]}" if part.startswith("{") else part for part in self.path.strip("/").split("/")]
        url: Json = {"raw": f"{host}/{'/'.join(parts)}", "host": [host], "path": parts}
        if query:
            url["raw"] += "?" + "&".join(f"{key}={value}" for key, value in query.items())
        for parameter in parameters:
            name = parameter["name"]
            shown = {"key": name, "description": parameter.get("description", "")}
            if parameter["in"] == "path":
                value = STEPS.get((self.method, self.path), Step()).path.get(name, parameter.get("example", ""))
                url.setdefault("variable", []).append({**shown, "value": str(value)})
            elif parameter["in"] == "query":
                value = query.get(name, parameter.get("example", parameter["schema"].get("default", "")))
                url.setdefault("query", []).append({**shown, "value": str(value), "disabled": name not in query})
        return url

    def _bodies(self) -> dict[str, Any]:
        """The examples of the body by name; one that is None where no body is taken."""
        if "requestBody" not in self.operation:
            return {"": None}
        media = self.operation["requestBody"]["content"]["application/json"]
        if "examples" in media:
            return {name: example["value"] for name, example in media["examples"].items()}
        fields = self._resolved(media["schema"])["properties"]
        return {"": {name: field["example"] for name, field in fields.items() if "example" in field}}

    def _checks(self, expected: Sequence[str]) -> list[str]:
        """The script that compares an answer with the document."""
        media = {
            status: next(iter(response.get("content", {})), None)
            for status, response in self.operation["responses"].items()
        }
        fields = {status: self._fields(status) for status in expected}
        return [
            f"const documented = {json.dumps(media)};",
            f"const expected = {json.dumps(expected)};",
            f"const fields = {json.dumps({status: names for status, names in fields.items() if names})};",
            "const status = String(pm.response.code), media = documented[status];",
            'pm.test("the document knows the status", () => pm.expect(Object.keys(documented)).to.include(status));',
            f'pm.test("the status is {" or ".join(expected)}", () => pm.expect(expected).to.include(status));',
            'pm.test("the media type is the documented one", () => {',
            '  const sent = (pm.response.headers.get("Content-Type") || "").split(";")[0];',
            '  media ? pm.expect(sent).to.equal(media) : pm.expect(pm.response.text()).to.equal("");',
            "});",
            'const answer = media && media.endsWith("json") ? pm.response.json() : null;',
            'pm.test("the key fields are there", () => {',
            "  for (const one of Array.isArray(answer) ? answer : [answer])",
            "    if (fields[status]) pm.expect(one).to.include.all.keys(fields[status]);",
            "});",
        ]

    def _stores(self, step: Step) -> list[str]:
        lines = [f"  {_set_variable(key, value)}" for key, value in step.remembers.items()]
        return ["if (status === expected[0]) {", *lines, "}"] if lines else []

    def _fields(self, status: str) -> list[str]:
        """The fields that an answer of this status must have; of a list each item. None where they differ."""
        for content in self.operation["responses"][status].get("content", {}).values():
            schema = self._resolved(content.get("schema", {}))
            one = self._resolved(schema["anyOf"][0]) if "anyOf" in schema else schema
            return list(one.get("required", []))
        return []

    def _resolved(self, schema: Json) -> Json:
        if "$ref" not in schema:
            return schema
        found: Json = self.service.document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return found


def _written(body: Any, step: Step) -> str:
    """The text of a body, with variables for ids that must be new each time and for remembered values."""
    if isinstance(body, dict):
        body = {name: IDS.get(value, value) if isinstance(value, str) else value for name, value in body.items()}
        body |= {name: f"{{{{{variable}}}}}" for name, variable in step.body.items()}
    text = json.dumps(body, indent=2, ensure_ascii=False)
    for variable, value in VARIABLES.items():
        if not isinstance(value, str):  # numbers and objects are written without quotation marks
            text = text.replace(f'"{{{{{variable}}}}}"', f"{{{{{variable}}}}}")
    return text


def _set_variable(variable: str, value: str) -> str:
    return f'pm.collectionVariables.set("{variable}", {value});'


def _event(listen: str, lines: Sequence[str]) -> Json:
    return {"listen": listen, "script": {"type": "text/javascript", "exec": list(lines)}}
