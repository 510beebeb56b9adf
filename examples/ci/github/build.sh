#!/bin/bash
# The action's build. The inputs are in the environment.
set -euo pipefail

if [ -z "$OSDERIVE" ]; then
    echo "::group::Build osderive"
    program=$(cd "$GITHUB_ACTION_PATH/../../.." && cargo xtask host)
    OSDERIVE=$(dirname "$program")
    echo "::endgroup::"
fi

arguments=(--layers="$LAYERS")
if [ "$OCI" = true ]; then
    arguments+=(--format=oci)
else
    arguments+=(--format=docker)
fi
for tag in $TAGS; do
    arguments+=(--tag "$IMAGE:$tag")
done
for containerfile in $CONTAINERFILES; do
    arguments+=(--file "$containerfile")
done
while IFS= read -r argument; do
    [ -z "$argument" ] || arguments+=(--build-arg "$argument")
done <<<"$BUILD_ARGS"
while IFS= read -r argument; do
    [ -z "$argument" ] || arguments+=("$argument")
done <<<"$EXTRA_ARGS"

folder=$(mktemp -d -p "${RUNNER_TEMP:-/tmp}")
{
    echo "image=$IMAGE"
    echo "tags=$(echo $TAGS)"
} >>"$GITHUB_OUTPUT"

code=0
"$OSDERIVE/osderive" \
    --report github \
    --report "sarif=$folder/osderive.sarif" \
    --report "human=$folder/osderive.txt" \
    buildah build "${arguments[@]}" "$CONTEXT" || code=$?

if [ -e "$folder/osderive.sarif" ]; then
    echo "sarif=$folder/osderive.sarif" >>"$GITHUB_OUTPUT"
    {
        printf '### What a machine would stumble over\n\n'
        # Nothing in it is Markdown.
        sed 's/^/    /' "$folder/osderive.txt"
    } >>"$GITHUB_STEP_SUMMARY"
fi
exit "$code"
