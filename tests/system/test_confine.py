"""What `run` takes from itself: files but its own (Landlock), system calls but its own (seccomp), root's rights (--user),
core files. Each is looked at from outside, in the running process; what a kernel lacks is taken from it by a filter of the
test's own, so that the note, and the refusal with `require`, are those of a real old kernel."""
import ctypes
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import stat
import unittest

import wikitally

NOBODY = 65534
CREATE_RULESET, SECCOMP, PRCTL, PR_SET_SECCOMP, ENOSYS = 444, 317, 157, 22, 38
HAS_LANDLOCK = os.uname().machine == 'x86_64' and ctypes.CDLL(None, use_errno=True).syscall(CREATE_RULESET, 0, 0, 1) > 0


class Compare(ctypes.Structure):
    _fields_ = [('arg', ctypes.c_uint), ('op', ctypes.c_int), ('a', ctypes.c_uint64), ('b', ctypes.c_uint64)]


def without(*system_calls):
    """Called in the process to be: these system calls are not there any more, as in a kernel that has none of them."""
    library = ctypes.CDLL('libseccomp.so.2', use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    allow, error, equal = 0x7fff0000, 0x00050000 | ENOSYS, 4

    def take_away():
        filter_ = ctypes.c_void_p(library.seccomp_init(allow))
        for number in system_calls:
            if number == PRCTL:
                library.seccomp_rule_add_array(filter_, error, number, 1, ctypes.byref(Compare(0, equal, PR_SET_SECCOMP, 0)))
            else:
                library.seccomp_rule_add_array(filter_, error, number, 0, None)
        if library.seccomp_load(filter_):
            os._exit(99)
    return take_away


class Confined(wikitally.Case):
    def setUp(self):
        super().setUp()
        self.folder.chmod(0o755)                        # for another user to come to what is its own in there

    def begin(self, *more, **options):
        listen = options.pop('listen', '127.0.0.1:0')
        return self.running(*self.run_arguments('synthetic:200', *more, until=None, listen=listen), **options)

    def said(self, process, pattern):
        def found():
            return re.search(pattern, process.log.read_text(errors='replace'))
        return self.wait_for(found, what=pattern)

    def status(self, process, thread=None):
        """/proc/PID/status of the process, or of one of its threads."""
        folder = pathlib.Path(f'/proc/{process.pid}/task/{thread or process.pid}')
        return dict(line.split(':\t', 1) for line in (folder / 'status').read_text().splitlines() if ':\t' in line)

    def skip_without_sandbox(self):
        if 'left out of this build' in self.wikitally('doctor', 'sandbox', '--data-dir', self.directory, code=None).out:
            raise unittest.SkipTest('this build has no sandbox')


class Sandbox(Confined):
    def doctor(self, *more, code=0):
        return json.loads(self.wikitally('doctor', 'sandbox', '--data-dir', self.directory, '-o', 'json', *more, code=code).out)[0]

    def test_what_must_not_work_is_tried(self):
        self.skip_without_sandbox()
        row = self.doctor()
        self.assertEqual(row['verdict'], 'ok' if HAS_LANDLOCK else 'warn', row)
        self.assertIn('seccomp', row['finding'])
        self.assertEqual(self.doctor('--set', 'security.sandbox=off')['verdict'], 'warn')

    def test_every_thread_is_in_it(self):
        self.skip_without_sandbox()
        with self.begin() as process:
            self.said(process, r'info sandbox: no files but its own \(Landlock \d+\), no system calls but its own \(seccomp\)'
                      if HAS_LANDLOCK else 'info sandbox: ')
            self.url(process)
            threads = os.listdir(f'/proc/{process.pid}/task')
            self.assertGreater(len(threads), 4)
            for thread in threads:
                status = self.status(process, thread)
                self.assertEqual((status['NoNewPrivs'], status['Seccomp']), ('1', '2'), status['Name'])
            self.stop(process)
        self.assert_balanced()

    @unittest.skipUnless(HAS_LANDLOCK, 'this kernel has no Landlock')
    def test_a_file_outside_cannot_be_opened(self):
        """By a reload, whose file has been replaced by a link to one that is outside: nothing else here opens what others name."""
        self.skip_without_sandbox()
        (self.folder / 'inside').mkdir()
        for sandbox, refused in (('auto', True), ('off', False)):
            file, outside = self.folder / 'inside/wikitally.yaml', self.folder / 'outside.yaml'
            file.unlink(missing_ok=True)
            file.write_text('log:\n  level: info\n')
            outside.write_text('log:\n  level: warn\n')
            with self.subTest(sandbox), self.begin('-c', file, '--set', f'security.sandbox={sandbox}') as process:
                self.url(process)
                file.unlink()
                file.write_text('task:\n  commit_every: 2s\n')      # another file of the same name is read
                process.send_signal(signal.SIGHUP)
                self.said(process, 'reload: task.commit_every: "1s" -> "2s"')
                file.unlink()
                file.symlink_to(outside)
                process.send_signal(signal.SIGHUP)
                if refused:
                    self.said(process, r'reload: .*Permission denied')
                    self.said(process, 'reload refused')
                else:
                    self.said(process, 'reload: log.level: "info" -> "warn"')
                self.stop(process)

    def test_off(self):
        with self.begin('--set', 'security.sandbox=off') as process:
            self.said(process, 'sandbox: none, because security.sandbox is off')
            self.url(process)
            self.assertEqual(self.status(process)['Seccomp'], '0')
            self.stop(process)

    @unittest.skipUnless(os.uname().machine == 'x86_64', 'numbers of system calls are those of x86-64')
    def test_a_kernel_without_it(self):
        self.skip_without_sandbox()
        for missing, says in (((CREATE_RULESET,), r'all files of this user \(Landlock: this kernel has none'),
                              ((SECCOMP, PRCTL), r'all system calls \(seccomp: this kernel has none')):
            for wanted, code in (('auto', 0), ('require', 71)):
                with self.subTest(missing=missing, wanted=wanted):
                    arguments = self.run_arguments('synthetic:2000', '--set', f'security.sandbox={wanted}', until=500)
                    with self.running(*arguments, before=without(*missing)) as process:
                        process.wait(60)
                        text = process.log.read_text(errors='replace')
                        self.assertEqual(process.returncode, code, text)
                        self.assertRegex(text, says)

    def test_exit_71_names_the_way_out(self):
        """With a build or a kernel that has all of it there is nothing to refuse."""
        self.skip_without_sandbox()
        if HAS_LANDLOCK:
            self.follow('synthetic:2000', '--set', 'security.sandbox=require', until=200)

    def test_a_unix_socket_comes_and_goes(self):
        path = self.folder / 'place/of/it'
        path.parent.mkdir(parents=True)
        for _ in range(2):
            with self.begin(listen=f'unix:{path}') as process:
                self.said(process, f'listening on unix:{path}')
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
                    client.sendall(b'GET /api/v1/state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
                    self.assertIn(b'200 OK', client.recv(4096))
                self.stop(process)
                self.assertFalse(path.exists())


class Cores(Confined):
    def look(self, *more):
        """-> (soft limit of core files, is the process its own user's to look into)"""
        def some(): resource.setrlimit(resource.RLIMIT_CORE, (4096, 1 << 20))
        with self.begin('--user', 'nobody', *more, before=some) as process:
            self.url(process)
            limits = pathlib.Path(f'/proc/{process.pid}/limits').read_text()
            own = pathlib.Path(f'/proc/{process.pid}/environ').stat().st_uid == NOBODY
            self.stop(process)
        return re.search(r'Max core file size\s+(\S+)', limits)[1], own

    @unittest.skipUnless(os.geteuid() == 0, 'only root can become another user')
    def test_none_unless_asked_for(self):
        self.skip_without_sandbox()
        self.assertEqual(self.look(), ('0', False))
        self.assertEqual(self.look('--set', 'security.core_dumps=true'), ('4096', True))


class User(Confined):
    @unittest.skipUnless(os.geteuid() == 0, 'only root can become another user')
    def test_nothing_of_root_is_left(self):
        with socket.socket() as probe:                  # a port that only root may bind, and that is free
            port = next(port for port in range(1023, 600, -1) if probe.connect_ex(('127.0.0.1', port)))
        with self.begin('--user', 'nobody', listen=f'127.0.0.1:{port}', before=lambda: os.setgroups([0, 7])) as process:
            self.assertEqual(self.url(process), f'http://127.0.0.1:{port}')
            self.said(process, 'as user nobody')
            for thread in os.listdir(f'/proc/{process.pid}/task'):
                status = self.status(process, thread)
                self.assertEqual(set((status['Uid'] + '\t' + status['Gid']).split()), {str(NOBODY)})
                self.assertFalse({'0', '7'} & set(status['Groups'].split()), status['Groups'])
                self.assertEqual({status[name] for name in ('CapEff', 'CapPrm', 'CapInh')}, {'0000000000000000'})
            self.wait_for(lambda: json.loads(wikitally.get(f'http://127.0.0.1:{port}/api/v1/state'))['state']['last_event'])
            self.stop(process)
            self.assertNotIn('running as root', process.log.read_text(errors='replace'))
        self.assertEqual({file.stat().st_uid for file in (self.directory, *self.directory.iterdir())}, {NOBODY})
        self.assert_balanced()

    @unittest.skipUnless(os.geteuid() == 0, 'only root can become another user')
    def test_a_directory_of_another(self):
        self.directory.mkdir(mode=0o700)
        done = self.wikitally(*self.run_arguments('synthetic:200', '--user', 'nobody', until=10), code=77)
        self.assertRegex(done.err, 'user "nobody" may not use .*chown -R')
        self.assertEqual(list(self.directory.iterdir()), [])

    @unittest.skipUnless(os.geteuid() == 0, 'only root can become another user')
    def test_a_socket_of_that_user(self):
        path = self.folder / 'page'
        with self.begin('--user', 'nobody', listen=f'unix:{path}') as process:
            self.said(process, f'listening on unix:{path}')
            self.assertEqual((path.stat().st_uid, stat.S_ISSOCK(path.stat().st_mode)), (NOBODY, True))
            self.stop(process)

    def test_exit_77_not_root(self):
        def somebody():
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
        self.folder.chmod(0o755)                    # the project may lie where only root comes, such as /root
        self.program = shutil.copy(self.program, self.folder)
        with self.begin('--user', 'nobody', before=somebody) as process:
            self.assertEqual(process.wait(30), 77)
            self.assertIn('only root can become another user', process.log.read_text())
        self.assertFalse(self.directory.exists())

    @unittest.skipUnless(os.geteuid() == 0, 'only root can become another user')
    def test_exit_2_no_such_user(self):
        for name, says in (('no-such-user', 'no such user'), ('root', 'root itself')):
            done = self.wikitally(*self.run_arguments('synthetic:200', '--user', name, until=10), code=2)
            self.assertIn(says, done.err)
        self.assertFalse(self.directory.exists())


if __name__ == '__main__':
    unittest.main()
