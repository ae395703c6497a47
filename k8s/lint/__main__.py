"""`python -m k8s.lint < rendered.yaml`: print the faults of rendered manifests, one a line."""

import sys

import yaml

from k8s import lint


def main() -> int:
    """Read documents from standard input and write their faults. Returns the exit code."""
    documents = [document for document in yaml.safe_load_all(sys.stdin) if document]
    found = lint.faults(documents)
    sys.stdout.writelines(f"{fault}\n" for fault in found)
    sys.stderr.write(f"{len(documents)} documents, {len(found)} faults\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
