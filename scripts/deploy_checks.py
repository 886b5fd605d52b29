"""Checks on deploy/ that no ready-made tool makes. Run by scripts/check-deploy.sh.

    deploy_checks.py references COMPOSE    what a Compose file names exists
    deploy_checks.py commands FILE...      prints the antiphon command lines in Compose and Kubernetes files,
                                           one a line: the source, then the arguments, separated by tabs
    deploy_checks.py grace FILE...         processes get more time to stop than a drain takes
    deploy_checks.py alerts RULES TESTS    each alert has a test in which it fires
    deploy_checks.py metrics RULES         each metric in the rules is one that the source exports

Each problem is a line on stderr, and makes the exit status 1.
"""

import pathlib
import re
import sys

import yaml

# The longest drain, in seconds; a process that is killed before it ends leaves work uncommitted.
DRAIN = 25


def documents(path):
    """The non-empty documents of a YAML file."""
    return [document for document in yaml.safe_load_all(pathlib.Path(path).read_text()) if document]


def is_antiphon(image):
    """Whether an image reference, with or without registry and tag, is the antiphon image."""
    return image.rsplit("/", 1)[-1].split(":")[0] == "antiphon"


def processes(path):
    """The antiphon processes of a file: (what, arguments, seconds to stop in)."""
    for document in documents(path):
        for name, service in document.get("services", {}).items():
            if is_antiphon(service.get("image", "")):
                grace = str(service.get("stop_grace_period", "10s"))
                yield f"service {name}", service["command"], int(grace.removesuffix("s"))
        pod = document.get("spec", {}).get("template", {}).get("spec", {})
        for container in pod.get("containers", []):
            if is_antiphon(container["image"]):
                what = f"{document['kind']} {document['metadata']['name']}"
                yield what, container["args"], pod.get("terminationGracePeriodSeconds", 30)


def references(path):
    """Yields a problem for each service, volume or file that a Compose file names and that is not there."""
    directory = pathlib.Path(path).parent
    compose = documents(path)[0]
    services = compose["services"]
    for name, service in services.items():
        for other in service.get("depends_on", []):
            if other not in services:
                yield f"service {name} depends on {other}, which is not a service"
        build = service.get("build")
        if build and not (directory / build["context"] / build["dockerfile"]).is_file():
            yield f"service {name} is built from {build['dockerfile']}, which is not in {build['context']}"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                if not (directory / source).exists():
                    yield f"service {name} mounts {source}, which does not exist"
            elif source not in compose.get("volumes", {}):
                yield f"service {name} mounts the volume {source}, which is not declared"


def grace(paths):
    """Yields a problem for each replier that may be killed while it drains."""
    for path in paths:
        for what, arguments, seconds in processes(path):
            if arguments[0] == "reply" and seconds <= DRAIN:
                yield f"{path}: {what} has {seconds} s to stop, and a drain may take {DRAIN} s"


def alerts(rules_path, tests_path):
    """Yields a problem for each alert that no test shows firing."""
    named = {
        rule["alert"]
        for group in documents(rules_path)[0]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    fired = {
        test["alertname"]
        for block in documents(tests_path)[0]["tests"]
        for test in block.get("alert_rule_test", [])
        if test["exp_alerts"]
    }
    for alert in sorted(named - fired):
        yield f"no test in {tests_path} shows {alert} firing"


def metrics(rules_path):
    """Yields a problem for each metric in the rules that no Rust source names."""
    root = pathlib.Path(__file__).resolve().parent.parent
    source = "".join(path.read_text() for path in root.glob("*/src/**/*.rs"))
    expressions = " ".join(
        rule["expr"] for group in documents(rules_path)[0]["groups"] for rule in group["rules"]
    )
    for name in sorted(set(re.findall(r"\bantiphon_\w+", expressions))):
        exported = re.sub(r"_(bucket|sum|count)$", "", name)
        if f'"{exported}"' not in source:
            yield f"{rules_path} uses {name}, and no source exports {exported}"


def commands(paths):
    """Prints the command lines, and yields a problem if there is none."""
    found = False
    for path in paths:
        for what, arguments, _ in processes(path):
            found = True
            print("\t".join([f"{path}: {what}", *map(str, arguments)]))
    if not found:
        yield f"no antiphon process in {', '.join(paths)}"


def main(check, *paths):
    """Runs one check, and returns the exit status."""
    several = {"commands": commands, "grace": grace}
    single = {"references": references, "alerts": alerts, "metrics": metrics}
    problems = list(several[check](paths) if check in several else single[check](*paths))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
