# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154  # build_image's variables
# manifest.json: what is in an image, from which packages, of which versions.

# write_manifest FOLDER INPUTS
write_manifest() {
  local folder=$1 inputs=$2 commit file
  commit=$(git -C "$source_tree" describe --always --dirty --abbrev=40 2>/dev/null || echo unknown)
  for file in $(cd "$folder" && find . -maxdepth 2 -type f -printf '%P\n' | grep -v '^root/' | sort); do
    printf '%s\t%s\t%s\n' "$file" "$(stat -c %s "$folder/$file")" "$(sha256sum "$folder/$file" | cut -d' ' -f1)"
  done >"$work/files.tsv"
  touch "$work/packages.tsv"
  jq -n --arg name "$name" --arg kind "$kind" --arg suite "$suite" --arg kernel "${release:-}" --arg cmdline "$cmdline" \
    --arg commit "$commit" --arg builder "$(builder_hash | cut -d' ' -f1)" --arg inputs "$inputs" --arg modules "$(echo $modules $more_modules)" \
    --arg own "$own" --rawfile packages "$work/packages.tsv" --rawfile files "$work/files.tsv" '
    def rows($text): $text | split("\n") | map(select(. != "") | split("\t"));
    {name: $name, kind: $kind, suite: $suite, kernel: $kernel, cmdline: $cmdline, modules: ($modules | split(" ") | map(select(. != ""))),
     programs_of_vigia: ($own | split(" ") | map(select(. != ""))), commit: $commit, builder: $builder, inputs: $inputs,
     packages: (rows($packages) | map({key: .[0], value: .[1]}) | from_entries),
     files: (rows($files) | map({key: .[0], value: {bytes: (.[1] | tonumber), sha256: .[2]}}) | from_entries)}
    | with_entries(select(.value != "" and .value != []))' >"$folder/manifest.json"
}
