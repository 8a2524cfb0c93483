<?php
// SPDX-License-Identifier: Apache-2.0
// The page: a form to log in, or the user's notifications.

session_start();
if (preg_match('/^\w{1,30}$/', $_POST['user'] ?? '')) {
    session_regenerate_id(true); // your site's own login, with a password, is here
    $_SESSION['user'] = $_POST['user'];
    header('Location: /', true, 303);
    exit;
}
$user = $_SESSION['user'] ?? null;
?>
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Notifications</title>
<?php if ($user === null) { ?>
<form method="post">
  <label>Name <input name="user" required></label> <button>Log in</button>
</form>
<?php } else { ?>
<h1>Notifications for <?= htmlspecialchars($user) ?></h1>
<form method="post" action="/send.php">
  <label>To <input name="to" required></label>
  <label>Text <input name="text" required></label> <button>Send</button>
</form>
<ul id="list"></ul>
<script src="/notify.js"></script>
<?php } ?>
