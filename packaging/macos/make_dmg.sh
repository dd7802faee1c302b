#!/bin/sh
# Makes the disk image that macOS users drag DagDeck.app out of.
#   make_dmg.sh path/to/DagDeck.app 1.2.3 target.dmg
# With CODESIGN_IDENTITY the application is signed first, with NOTARY_PROFILE the image is sent to be notarised.
set -eu
app=$1 version=$2 target=$3
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -R "$app" "$folder/"
if [ -n "${CODESIGN_IDENTITY:-}" ]; then
    codesign --force --deep --options runtime --timestamp --entitlements "$here/entitlements.plist" \
        --sign "$CODESIGN_IDENTITY" "$folder/DagDeck.app"
fi
ln -s /Applications "$folder/Applications"
mkdir "$folder/Services"
cp "$here/org.dagdeck.worker.plist" "$here/org.dagdeck.master.plist" "$folder/Services/"
rm -f "$target"
hdiutil create -volname "DagDeck $version" -srcfolder "$folder" -format UDZO -fs HFS+ "$target"
if [ -n "${NOTARY_PROFILE:-}" ]; then
    xcrun notarytool submit "$target" --keychain-profile "$NOTARY_PROFILE" --wait
    xcrun stapler staple "$target"
fi
