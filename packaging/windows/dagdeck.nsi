; The installer for Windows: the desktop, and if wanted the command line, and worker and master as services.
;
;   makensis -DVERSION=1.2.3 -DDESKTOP=bundle -DDAEMONS=bundle -DICON=icon.ico -DOUTPUT=setup.exe dagdeck.nsi
;
; Silent: /S, with /SERVICE=1 for the services too; the folder by /D=path, last. The uninstaller keeps settings, state and
; logs (in %ProgramData%\DagDeck) unless it is told otherwise: by its question, or silently by /PURGE=1.

Unicode true
ManifestDPIAware true
RequestExecutionLevel admin
SetCompressor /SOLID lzma

!include MUI2.nsh
!include FileFunc.nsh
!include LogicLib.nsh
!include x64.nsh

!define UNINSTALL "Software\Microsoft\Windows\CurrentVersion\Uninstall\DagDeck"
!define TYPE "DagDeck.Connection"
!define DATA "$APPDATA\DagDeck"

Name "DagDeck"
OutFile "${OUTPUT}"
InstallDir "$PROGRAMFILES64\DagDeck"
InstallDirRegKey HKLM "${UNINSTALL}" "InstallLocation"
BrandingText "DagDeck ${VERSION}"

VIProductVersion "${VERSION}.0"
VIAddVersionKey "ProductName" "DagDeck"
VIAddVersionKey "ProductVersion" "${VERSION}"
VIAddVersionKey "FileVersion" "${VERSION}"
VIAddVersionKey "FileDescription" "Installer of DagDeck"
VIAddVersionKey "LegalCopyright" "Apache License 2.0"

!define MUI_ICON "${ICON}"
!define MUI_UNICON "${ICON}"
!define MUI_ABORTWARNING
!define MUI_FINISHPAGE_RUN
!define MUI_FINISHPAGE_RUN_FUNCTION open_desktop
!define MUI_FINISHPAGE_RUN_TEXT "Open DagDeck"
!insertmacro MUI_PAGE_WELCOME
!insertmacro MUI_PAGE_COMPONENTS
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"

; Services keep their files open: they are ended, and waited for, before these are replaced or removed.
!macro stop_services UN
Function ${UN}stop_services
  nsExec::Exec 'net.exe stop DagDeckWorker'
  Pop $0
  nsExec::Exec 'net.exe stop DagDeckMaster'
  Pop $0
FunctionEnd
!macroend
!insertmacro stop_services ""
!insertmacro stop_services "un."

; A service is started by hand, once the settings are filled in. LocalService has no rights on other machines.
!macro make_service NAME DAEMON SHOWN PURPOSE
  nsExec::Exec 'sc.exe query ${NAME}'
  Pop $0
  ${If} $0 != 0
    nsExec::ExecToLog `sc.exe create ${NAME} binPath= "\"$INSTDIR\daemons\dagdeckd.exe\" dagdeck-service ${DAEMON} \"${DATA}\"" start= demand obj= "NT AUTHORITY\LocalService" DisplayName= "${SHOWN}"`
    Pop $0
    ${If} $0 != 0
      DetailPrint "The service ${NAME} could not be made (sc.exe: $0)"
      SetErrors
    ${EndIf}
  ${EndIf}
  nsExec::ExecToLog 'sc.exe description ${NAME} "${PURPOSE}"'
  Pop $0
  nsExec::ExecToLog 'sc.exe failure ${NAME} reset= 3600 actions= restart/5000/restart/30000/restart/60000'
  Pop $0
  nsExec::ExecToLog 'sc.exe failureflag ${NAME} 1'
  Pop $0
!macroend

Section "Control center" of_desktop
  SectionIn RO
  SetRegView 64
  SetShellVarContext all
  Call stop_services
  ; Modules of an older version must not stay among those of this one.
  RMDir /r "$INSTDIR\desktop"
  SetOutPath "$INSTDIR\desktop"
  File /r "${DESKTOP}/*"
  SetOutPath "$INSTDIR"
  File "/oname=dagdeck.ico" "${ICON}"

  CreateShortcut "$SMPROGRAMS\DagDeck.lnk" "$INSTDIR\desktop\dagdeck-desktop.exe" "" "$INSTDIR\dagdeck.ico"

  ; Connection files are opened by it.
  WriteRegStr HKLM "Software\Classes\.dagdeck" "" "${TYPE}"
  WriteRegStr HKLM "Software\Classes\.dagdeck" "Content Type" "application/vnd.dagdeck.connection+toml"
  WriteRegStr HKLM "Software\Classes\${TYPE}" "" "DagDeck connection"
  WriteRegStr HKLM "Software\Classes\${TYPE}\DefaultIcon" "" "$INSTDIR\dagdeck.ico"
  WriteRegStr HKLM "Software\Classes\${TYPE}\shell\open\command" "" '"$INSTDIR\desktop\dagdeck-desktop.exe" "%1"'

  WriteUninstaller "$INSTDIR\uninstall.exe"
  WriteRegStr HKLM "${UNINSTALL}" "DisplayName" "DagDeck"
  WriteRegStr HKLM "${UNINSTALL}" "DisplayVersion" "${VERSION}"
  WriteRegStr HKLM "${UNINSTALL}" "DisplayIcon" "$INSTDIR\dagdeck.ico"
  WriteRegStr HKLM "${UNINSTALL}" "Publisher" "DagDeck developers"
  WriteRegStr HKLM "${UNINSTALL}" "InstallLocation" "$INSTDIR"
  WriteRegStr HKLM "${UNINSTALL}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKLM "${UNINSTALL}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD HKLM "${UNINSTALL}" "NoModify" 1
  WriteRegDWORD HKLM "${UNINSTALL}" "NoRepair" 1
  ${GetSize} "$INSTDIR" "/S=0K" $0 $1 $2
  IntFmt $0 "0x%08X" $0
  WriteRegDWORD HKLM "${UNINSTALL}" "EstimatedSize" "$0"
SectionEnd

Section /o "Command line and services (experimental)" of_service
  SetRegView 64
  SetShellVarContext all
  RMDir /r "$INSTDIR\daemons"
  SetOutPath "$INSTDIR\daemons"
  File /r "${DAEMONS}/*"

  ; Settings hold passwords and the key: for administrators and the service's account only.
  CreateDirectory "${DATA}\logs"
  nsExec::ExecToLog 'icacls.exe "${DATA}" /inheritance:r /grant:r *S-1-5-18:(OI)(CI)F *S-1-5-32-544:(OI)(CI)F *S-1-5-19:(OI)(CI)M'
  Pop $0
  ${IfNot} ${FileExists} "${DATA}\dagdeck.toml"
    SetOutPath "${DATA}"
    File "dagdeck.toml"
  ${EndIf}

  !insertmacro make_service DagDeckWorker worker "DagDeck worker" "Runs tasks of a DagDeck cluster on this machine."
  !insertmacro make_service DagDeckMaster master "DagDeck master" "Scheduler, DAG processor and control API of a DagDeck cluster."
SectionEnd

LangString about_desktop ${LANG_ENGLISH} "The window onto clusters: DAGs, runs, tasks, logs and workers, live."
LangString about_service ${LANG_ENGLISH} "dagdeck, dagdeckd, and the services of a worker and of a master; none is started yet."
!insertmacro MUI_FUNCTION_DESCRIPTION_BEGIN
  !insertmacro MUI_DESCRIPTION_TEXT ${of_desktop} $(about_desktop)
  !insertmacro MUI_DESCRIPTION_TEXT ${of_service} $(about_service)
!insertmacro MUI_FUNCTION_DESCRIPTION_END

Function .onInit
  ${IfNot} ${RunningX64}
    MessageBox MB_ICONSTOP "DagDeck needs a 64-bit Windows." /SD IDOK
    Abort
  ${EndIf}
  ${GetParameters} $0
  ClearErrors
  ${GetOptions} $0 "/SERVICE=" $1
  ${If} $1 == "1"
    SectionSetFlags ${of_service} ${SF_SELECTED}
  ${EndIf}
FunctionEnd

; The installer runs as administrator; the window shall not.
Function open_desktop
  Exec '"$WINDIR\explorer.exe" "$INSTDIR\desktop\dagdeck-desktop.exe"'
FunctionEnd

Section "Uninstall"
  SetRegView 64
  SetShellVarContext all
  Call un.stop_services
  nsExec::Exec 'sc.exe delete DagDeckWorker'
  Pop $0
  nsExec::Exec 'sc.exe delete DagDeckMaster'
  Pop $0
  Delete "$SMPROGRAMS\DagDeck.lnk"
  DeleteRegKey HKLM "Software\Classes\${TYPE}"
  DeleteRegKey HKLM "Software\Classes\.dagdeck"
  DeleteRegKey HKLM "${UNINSTALL}"
  RMDir /r "$INSTDIR\desktop"
  RMDir /r "$INSTDIR\daemons"
  Delete "$INSTDIR\dagdeck.ico"
  Delete "$INSTDIR\uninstall.exe"
  RMDir "$INSTDIR"

  ${GetParameters} $0
  ClearErrors
  ${GetOptions} $0 "/PURGE=" $1
  ${If} $1 != "1"
    IfFileExists "${DATA}\*.*" 0 keep
    MessageBox MB_YESNO|MB_ICONQUESTION|MB_DEFBUTTON2 "Delete the services' settings, state and logs in ${DATA} too?" /SD IDNO IDNO keep
  ${EndIf}
  RMDir /r "${DATA}"
  keep:
SectionEnd
