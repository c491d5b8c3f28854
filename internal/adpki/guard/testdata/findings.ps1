## ESC4:template:00000000000000000000000000426164
# Bad: who may change it. Run as an enterprise administrator; look at each line, it takes all explicit rights.
$object = [ADSI]'LDAP://<GUID=00000000000000000000000000426164>'
$object.Options.SecurityMasks = 'Owner, Dacl'
# CORP\Helpdesk
$object.ObjectSecurity.PurgeAccessRules([System.Security.Principal.SecurityIdentifier]'S-1-5-21-3981832230-819177259-90020688-1200')
$object.ObjectSecurity.SetOwner([System.Security.Principal.SecurityIdentifier]'S-1-5-32-544')
# CORP\Domain Users
$object.ObjectSecurity.PurgeAccessRules([System.Security.Principal.SecurityIdentifier]'S-1-5-21-3981832230-819177259-90020688-513')
$object.CommitChanges()
## ESC6:authority:corp-ca
# On the authority CORP-CA, as its administrator.
certutil -setreg 'policy\EditFlags' '-EDITF_ATTRIBUTESUBJECTALTNAME2'
Restart-Service certsvc
## ESC7:authority:corp-ca
# On the authority CORP-CA, as its administrator.
$configuration = 'HKLM:\SYSTEM\CurrentControlSet\Services\CertSvc\Configuration'
$active = Join-Path $configuration (Get-ItemProperty $configuration).Active
$security = New-Object System.Security.AccessControl.CommonSecurityDescriptor($false, $false, (Get-ItemProperty $active).Security, 0)
$list = $security.DiscretionaryAcl
# CORP\Helpdesk
[void]$list.RemoveAccess('Allow', 'S-1-5-21-3981832230-819177259-90020688-1200', 3, 'None', 'None')
$bytes = New-Object byte[] $security.BinaryLength
$security.GetBinaryForm($bytes, 0)
Set-ItemProperty $active -Name Security -Value $bytes
Restart-Service certsvc
## ESC8:web:http://ca1/certsrv/
# On the web server: extended protection for web enrollment.
Set-WebConfigurationProperty -PSPath IIS:\ -Location 'Default Web Site/CertSrv' -Filter system.webServer/security/authentication/windowsAuthentication -Name extendedProtection.tokenChecking -Value Require
Set-WebConfigurationProperty -PSPath IIS:\ -Location 'Default Web Site/CertSrv' -Filter system.webServer/security/access -Name sslFlags -Value Ssl
## ESC10
# On every domain controller.
reg query HKLM\SYSTEM\CurrentControlSet\Services\Kdc /v StrongCertificateBindingEnforcement
reg query HKLM\SYSTEM\CurrentControlSet\Control\SecurityProviders\Schannel /v CertificateMappingMethods
## ESC11:authority:corp-ca
# On the authority CORP-CA, as its administrator.
certutil -setreg 'CA\InterfaceFlags' '+IF_ENFORCEENCRYPTICERTREQUEST'
Restart-Service certsvc
## ESC12
# On the authority: its key provider, and who may log on.
certutil -getreg CA\CSP
Get-LocalGroupMember -SID S-1-5-32-544
Get-LocalGroupMember -SID S-1-5-32-555
## ESC14:mapping:00000000000000000000006368696566
# Account CORP\chief: the mappings it has. Replace the weak ones.
$object = [ADSI]'LDAP://<GUID=00000000000000000000006368696566>'
$object.Options.SecurityMasks = 'Owner, Dacl'
$object.Properties['altSecurityIdentities']
## ESC16:authority:corp-ca
# On the authority CORP-CA, as its administrator.
certutil -setreg 'policy\DisableExtensionList' '-1.3.6.1.4.1.311.25.2'
Restart-Service certsvc
