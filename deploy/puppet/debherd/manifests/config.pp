# @summary Configuration, key, units and apt's probe
# @api private
class debherd::config {
  $ensure = $debherd::ensure
  $folder_ensure = $ensure ? {
    'present' => 'directory',
    default   => 'absent',
  }
  $key_ensure = $debherd::fleet_key ? {
    undef   => 'absent',
    default => $ensure,
  }
  # The group goes after the files that name it, so absent files must not.
  $key_group = $ensure ? {
    'present' => 'debherd',
    default   => 'root',
  }
  $units = '/etc/systemd/system'
  $drop_ins = "${units}/debherd.service.d"
  $probe_folder = '/usr/share/debherd'
  $snippet = '/etc/apt/apt.conf.d/30debherd'

  file {
    default:
      ensure => $ensure,
      owner  => 'root',
      group  => 'root',
      mode   => '0644',
      links  => 'follow',
      backup => false;
    ['/etc/debherd', $drop_ins, $probe_folder]:
      ensure => $folder_ensure,
      mode   => '0755',
      force  => true;
    '/etc/debherd/debherd.toml':
      content => epp('debherd/debherd.toml.epp');
    '/etc/debherd/fleet.key':
      ensure    => $key_ensure,
      group     => $key_group,
      mode      => '0640',
      show_diff => false,
      content   => $debherd::fleet_key;
    "${units}/debherd.socket":
      source => 'puppet:///modules/debherd/debherd.socket';
    "${units}/debherd.service":
      source => 'puppet:///modules/debherd/debherd.service';
    "${drop_ins}/fleet-key.conf":
      ensure => $key_ensure,
      source => 'puppet:///modules/debherd/fleet-key.conf';
    "${probe_folder}/apt-proxy-detect":
      mode   => '0755',
      source => 'puppet:///modules/debherd/apt-proxy-detect';
    $snippet:
      source => 'puppet:///modules/debherd/30debherd';
  }

  # apt fails while the snippet names a probe that is not there.
  if $ensure == 'present' {
    File["${probe_folder}/apt-proxy-detect"] -> File[$snippet]
  } else {
    File[$snippet] -> File[$probe_folder]
  }
}
