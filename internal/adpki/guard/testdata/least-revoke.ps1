# Least rights for CORP\svc to enrol from Bad at CORP-CA.
# 1. The template. On any machine of the domain, as an enterprise administrator.
# Template Bad: who may enrol. Run as an enterprise administrator.
$object = [ADSI]'LDAP://<GUID=00000000000000000000000000426164>'
$object.Options.SecurityMasks = 'Owner, Dacl'
$enroll = [Guid]'0e10c968-78fb-11d2-90d4-00c04f79dc55'
$autoEnroll = [Guid]'a05b8cc2-17bc-4802-a710-e7c15ab866a2'
$extended = [System.DirectoryServices.ActiveDirectoryRights]'ExtendedRight'
$rules = { $object.ObjectSecurity.GetAccessRules($true, $false, [System.Security.Principal.SecurityIdentifier]) }
function Remove-Enroll($sid) {
  foreach ($rule in (& $rules)) {
    if ($rule.IdentityReference.Value -ne $sid -or $rule.AccessControlType -ne 'Allow') { continue }
    if (-not ($rule.ActiveDirectoryRights -band $extended)) { continue }
    if ($rule.ObjectType -in $enroll, $autoEnroll, [Guid]::Empty) { [void]$object.ObjectSecurity.RemoveAccessRuleSpecific($rule) }
  }
}
function Add-Enroll($sid) {
  $have = (& $rules) | Where-Object { $_.IdentityReference.Value -eq $sid -and $_.AccessControlType -eq 'Allow' -and $_.ObjectType -eq $enroll -and ($_.ActiveDirectoryRights -band $extended) }
  if ($have) { return }
  $who = [System.Security.Principal.SecurityIdentifier]$sid
  $object.ObjectSecurity.AddAccessRule((New-Object System.DirectoryServices.ActiveDirectoryAccessRule($who, 'GenericRead', 'Allow')))
  $object.ObjectSecurity.AddAccessRule((New-Object System.DirectoryServices.ActiveDirectoryAccessRule($who, 'ExtendedRight', 'Allow', $enroll)))
}
# CORP\Domain Users
Remove-Enroll 'S-1-5-21-3981832230-819177259-90020688-513'
# CORP\Helpdesk
Remove-Enroll 'S-1-5-21-3981832230-819177259-90020688-1200'
# CORP\svc
Add-Enroll 'S-1-5-21-3981832230-819177259-90020688-1105'
$object.CommitChanges()
# 2. The authority's access list.
# On the authority CORP-CA, as its administrator.
$configuration = 'HKLM:\SYSTEM\CurrentControlSet\Services\CertSvc\Configuration'
$active = Join-Path $configuration (Get-ItemProperty $configuration).Active
$security = New-Object System.Security.AccessControl.CommonSecurityDescriptor($false, $false, (Get-ItemProperty $active).Security, 0)
$list = $security.DiscretionaryAcl
# CORP\svc
$list.AddAccess('Allow', 'S-1-5-21-3981832230-819177259-90020688-1105', 770, 'None', 'None')
$bytes = New-Object byte[] $security.BinaryLength
$security.GetBinaryForm($bytes, 0)
Set-ItemProperty $active -Name Security -Value $bytes
Restart-Service certsvc
# 3. DCOM from the network, on the same machine. Who is a member already stays one.
if (-not (Get-LocalGroupMember -SID 'S-1-5-32-574' | Where-Object { $_.SID.Value -eq 'S-1-5-21-3981832230-819177259-90020688-1105' })) { Add-LocalGroupMember -SID 'S-1-5-32-574' -Member 'S-1-5-21-3981832230-819177259-90020688-1105' }
