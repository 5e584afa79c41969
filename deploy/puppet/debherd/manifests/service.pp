# @summary The socket unit, which owns apt's port, and the daemon behind it
#
# A new configuration restarts the daemon alone, which apt does not notice: the port stays open.
# @api private
class debherd::service {
  if $debherd::manage_service {
    $running = $debherd::ensure == 'present'

    service { ['debherd.socket', 'debherd.service']:
      ensure   => $running,
      enable   => $running,
      provider => 'systemd',
    }
    # In both directions: stopping the socket stops the daemon that requires it.
    Service['debherd.socket'] -> Service['debherd.service']

    if $running {
      $units = '/etc/systemd/system'
      $socket_file = File["${units}/debherd.socket"]
      $service_files = File["${units}/debherd.service", "${units}/debherd.service.d/fleet-key.conf"]
      $settings = File['/etc/debherd/debherd.toml', '/etc/debherd/fleet.key']

      # Puppet before 6.1 does not reload systemd by itself.
      exec { 'debherd: systemctl daemon-reload':
        command     => '/bin/systemctl daemon-reload',
        refreshonly => true,
        subscribe   => [$socket_file, $service_files],
        before      => Service['debherd.socket'],
      }

      $socket_file ~> Service['debherd.socket']
      [$service_files, $settings, Class['debherd::install']].flatten ~> Service['debherd.service']
    }
  }
}
