#!/usr/bin/env bash
# The mutation gate: breaks the code on purpose, one patch of mutants/ at a time, and demands that what
# the patch names as its catcher fails and says the name it should. A catcher must pass unbroken first.
#   scripts/mutants.sh                         all of them
#   scripts/mutants.sh dedupe-off entry-leaked these
# Works on a copy of what is committed, with a target folder of its own: cargo takes two copies of one
# workspace for the same, and would link what is broken into the next build of this one.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
root=$PWD
limit=900

if [ $# -gt 0 ]; then patches=("${@/#/mutants/}"); patches=("${patches[@]/%/.patch}"); else patches=(mutants/*.patch); fi
copy=$(mktemp -d)
logs=target/mutants
mkdir -p "$logs"
trap 'rm -rf "$copy"' EXIT
git archive HEAD | tar -x -C "$copy"
# Newer than what an earlier run has left there, broken.
find "$copy" -type f -exec touch {} +
export CARGO_TARGET_DIR=$root/target/mutants/build

field() { sed -n "s/^# $2: //p" "$1" | head -1; }

# Runs a command in the copy, and keeps what it prints.
catch() { (cd "$copy" && timeout --kill-after=30 "$limit" bash -c "$1") >"$2" 2>&1 </dev/null; }

caught=0
total=0
printf '%-22s %-5s %-9s %s\n' mutant breaks verdict 'caught by'
for patch in "${patches[@]}"; do
    total=$((total + 1))
    name=$(basename "$patch" .patch)
    run=$(field "$patch" run)
    says=$(field "$patch" says)
    verdict=caught
    log=$logs/$name.log
    if [ -z "$run" ] || [ -z "$says" ]; then
        verdict='no catcher is named'
    elif ! catch "$run" "$logs/$name.unbroken.log"; then
        verdict='its catcher fails on unbroken code'
    elif ! patch --quiet --strip=1 --directory="$copy" --fuzz=0 <"$patch"; then
        verdict='the patch does not apply'
    else
        if catch "$run" "$log"; then
            verdict=SURVIVED
        elif grep -q '^error: could not compile' "$log"; then
            verdict='it does not compile'
        elif ! grep -q -- "$says" "$log"; then
            verdict="it fails, but not by \"$says\""
        fi
        patch --quiet --strip=1 --reverse --directory="$copy" <"$patch"
    fi
    [ "$verdict" = caught ] && caught=$((caught + 1))
    printf '%-22s %-5s %-9s %s\n' "$name" "$(field "$patch" guarantee)" "$verdict" "${run##* }: $says"
done
echo "mutants: $caught caught of $total; what was printed is in $logs"
[ "$caught" -eq "$total" ]
